"""Dependency descriptors in Python: written, and read by a parser of its own (RTP payload format for AV1, appendix A).

The plane's reader is compared with this one, so nothing here may look at it: it follows the text of the format.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SAME_LAYER, NEXT_TEMPORAL, NEXT_SPATIAL, NO_MORE = range(4)


class Malformed(Exception):
    """The descriptor ends too early, or refers to a template that is not known."""


class BitReader:
    def __init__(self, data: bytes) -> None:
        self.bits = "".join(f"{byte:08b}" for byte in data)
        self.at = 0

    def f(self, count: int) -> int:
        if self.at + count > len(self.bits):
            raise Malformed
        self.at += count
        return int(self.bits[self.at - count : self.at] or "0", 2)

    def ns(self, n: int) -> int:
        w = n.bit_length()
        m = (1 << w) - n
        v = self.f(w - 1)
        return v if v < m else (v << 1) - m + self.f(1)


class BitWriter:
    def __init__(self) -> None:
        self.bits = ""

    def f(self, count: int, value: int) -> None:
        assert 0 <= value < 1 << count
        self.bits += f"{value:0{count}b}" if count else ""

    def ns(self, n: int, value: int) -> None:
        w = n.bit_length()
        m = (1 << w) - n
        if value < m:
            self.f(w - 1, value)
        else:
            self.f(w, value + m)

    def data(self) -> bytes:
        padded = self.bits + "0" * (-len(self.bits) % 8)
        return bytes(int(padded[at : at + 8], 2) for at in range(0, len(padded), 8))


@dataclass
class Template:
    layer: tuple[int, int]
    indications: list[int]
    diffs: list[int] = field(default_factory=list)
    chain_diffs: list[int] = field(default_factory=list)


@dataclass
class Structure:
    templates: list[Template]
    id_offset: int = 0
    protected_by: list[int] = field(default_factory=list)  # chain of each target; empty: no chains
    resolutions: list[tuple[int, int]] = field(default_factory=list)

    @property
    def target_count(self) -> int:
        return len(self.templates[0].indications)

    @property
    def chain_count(self) -> int:
        return len(self.templates[0].chain_diffs)

    @property
    def targets(self) -> list[tuple[int, int]]:
        found = []
        for target in range(self.target_count):
            of_it = [t.layer for t in self.templates if t.indications[target]] or [(0, 0)]
            found.append((max(s for s, _ in of_it), max(t for _, t in of_it)))
        return found


@dataclass
class Descriptor:
    start: bool
    end: bool
    template_id: int
    number: int
    structure: Structure | None = None
    active: int | None = None
    indications: list[int] | None = None
    diffs: list[int] | None = None
    chain_diffs: list[int] | None = None


def write(d: Descriptor, known: Structure) -> bytes:
    w = BitWriter()
    w.f(1, d.start)
    w.f(1, d.end)
    w.f(6, d.template_id)
    w.f(16, d.number)
    flags = [d.structure, d.active, d.indications, d.diffs, d.chain_diffs]
    if all(flag is None for flag in flags):
        return w.data()
    for flag in flags:
        w.f(1, flag is not None)
    if d.structure is not None:
        known = d.structure
        _write_structure(w, known)
    if d.active is not None:
        w.f(known.target_count, d.active)
    for indication in d.indications or ():
        w.f(2, indication)
    if d.diffs is not None:
        for diff in d.diffs:
            size = 1 if diff <= 16 else 2 if diff <= 256 else 3
            w.f(2, size)
            w.f(4 * size, diff - 1)
        w.f(2, 0)
    for diff in d.chain_diffs or ():
        w.f(8, diff)
    return w.data()


def _write_structure(w: BitWriter, s: Structure) -> None:
    w.f(6, s.id_offset)
    w.f(5, s.target_count - 1)
    for one, after in zip(s.templates, s.templates[1:], strict=False):
        if one.layer == after.layer:
            w.f(2, SAME_LAYER)
        else:
            w.f(2, NEXT_TEMPORAL if one.layer[0] == after.layer[0] else NEXT_SPATIAL)
    w.f(2, NO_MORE)
    for template in s.templates:
        for indication in template.indications:
            w.f(2, indication)
    for template in s.templates:
        for diff in template.diffs:
            w.f(1, 1)
            w.f(4, diff - 1)
        w.f(1, 0)
    w.ns(s.target_count + 1, s.chain_count)
    if s.chain_count:
        for chain in s.protected_by:
            w.ns(s.chain_count, chain)
        for template in s.templates:
            for diff in template.chain_diffs:
                w.f(4, diff)
    w.f(1, bool(s.resolutions))
    for width, height in s.resolutions:
        w.f(16, width - 1)
        w.f(16, height - 1)


def read(data: bytes, known: Structure | None) -> tuple[dict[str, object], Structure | None]:
    """The descriptor in the probe's words, and the structure that holds after it. Raises Malformed."""
    r = BitReader(data)
    start, end, template_id, number = bool(r.f(1)), bool(r.f(1)), r.f(6), r.f(16)
    has_structure = has_active = own_indications = own_diffs = own_chains = 0
    if len(data) > 3:
        has_structure, has_active, own_indications, own_diffs, own_chains = (r.f(1) for _ in range(5))
    if has_structure:
        known = _read_structure(r)
    if known is None:
        raise Malformed
    result: dict[str, object] = {"start": start, "end": end, "number": number}
    if has_structure:
        result["active"] = (1 << known.target_count) - 1
        result["targets"] = known.targets
    if has_active:
        result["active"] = r.f(known.target_count)
    index = (template_id - known.id_offset) % 64
    if index >= len(known.templates):
        raise Malformed
    template = known.templates[index]
    result["layer"] = template.layer
    result["indications"] = [r.f(2) for _ in range(known.target_count)] if own_indications else template.indications
    diffs = template.diffs
    if own_diffs:
        diffs = []
        while size := r.f(2):
            diffs.append(r.f(4 * size) + 1)
    result["diffs"] = diffs
    if own_chains:
        r.f(8 * known.chain_count)
    return result, known


def _read_structure(r: BitReader) -> Structure:
    id_offset, target_count = r.f(6), r.f(5) + 1
    layers = [(0, 0)]
    while (step := r.f(2)) != NO_MORE:
        spatial, temporal = layers[-1]
        layers.append(
            {SAME_LAYER: (spatial, temporal), NEXT_TEMPORAL: (spatial, temporal + 1), NEXT_SPATIAL: (spatial + 1, 0)}[
                step
            ]
        )
    indications = [[r.f(2) for _ in range(target_count)] for _ in layers]
    diffs = []
    for _ in layers:
        of_one = []
        while r.f(1):
            of_one.append(r.f(4) + 1)
        diffs.append(of_one)
    chain_count = r.ns(target_count + 1)
    protected_by = [r.ns(chain_count) for _ in range(target_count)] if chain_count else []
    chains = [[r.f(4) for _ in range(chain_count)] for _ in layers]
    resolutions = [(r.f(16) + 1, r.f(16) + 1) for _ in range(layers[-1][0] + 1)] if r.f(1) else []
    templates = [Template(*parts) for parts in zip(layers, indications, diffs, chains, strict=True)]
    return Structure(templates, id_offset, protected_by, resolutions)


def letters(text: str) -> list[int]:
    """Indications as the format's tables print them: - not present, D discardable, S switch, R required."""
    return ["-DSR".index(letter) for letter in text]
