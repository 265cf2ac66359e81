"""Compile media.proto into media_pb2.py and media_pb2.pyi. `--check`: fail when the committed files are stale."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
GENERATED = ("media_pb2.py", "media_pb2.pyi")


def generate(into: Path) -> None:
    """Write both files below `into`/protos. Needs grpcio-tools (the `lint` dependency group)."""
    from grpc_tools import protoc

    arguments = ["protoc", f"-I{HERE.parent}", f"--python_out={into}", f"--pyi_out={into}", "protos/media.proto"]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc refused protos/media.proto; its message is above")


def stale() -> list[str]:
    """The names of committed files that differ from what media.proto compiles to now."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        return [name for name in GENERATED if (HERE / name).read_text() != (Path(folder) / "protos" / name).read_text()]


def main() -> None:
    """The command line: no argument regenerates, `--check` only compares."""
    if sys.argv[1:] == ["--check"]:
        if names := stale():
            raise SystemExit(f"stale: {', '.join(names)} in protos/. Run `make protos` and commit the result.")
    else:
        generate(HERE.parent)


if __name__ == "__main__":
    main()
