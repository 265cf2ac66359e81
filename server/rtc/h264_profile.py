"""H.264's profile-level-id (RFC 6184 section 8.1): which profile, which level, and what the answer says."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


class Profile(enum.Enum):
    """The value is profile_idc and profile_iop, as the canonical form writes them."""

    CONSTRAINED_BASELINE = "42e0"
    BASELINE = "4200"
    MAIN = "4d00"
    CONSTRAINED_HIGH = "640c"
    HIGH = "6400"
    PREDICTIVE_HIGH_444 = "f400"


# (profile_idc, bits of profile_iop that count, their value): RFC 6184 section 8.1, table 5. In that order.
_PATTERNS: Final = (
    (0x42, 0b01001111, 0b01000000, Profile.CONSTRAINED_BASELINE),
    (0x4D, 0b10001111, 0b10000000, Profile.CONSTRAINED_BASELINE),
    (0x58, 0b11001111, 0b11000000, Profile.CONSTRAINED_BASELINE),
    (0x42, 0b01001111, 0b00000000, Profile.BASELINE),
    (0x58, 0b11001111, 0b10000000, Profile.BASELINE),
    (0x4D, 0b10101111, 0b00000000, Profile.MAIN),
    (0x64, 0b11111111, 0b00000000, Profile.HIGH),
    (0x64, 0b11111111, 0b00001100, Profile.CONSTRAINED_HIGH),
    (0xF4, 0b11111111, 0b00000000, Profile.PREDICTIVE_HIGH_444),
)
# Level 1b stands between 1 and 1.1 and shares level_idc 11 with 1.1; constraint_set3_flag tells them apart.
_LEVEL_1B: Final = 10.5
_LEVELS: Final = frozenset({10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52})
_CONSTRAINT_SET3: Final = 0x10
_LEVEL_1B_TEXT: Final = {Profile.CONSTRAINED_BASELINE: "42f00b", Profile.BASELINE: "42100b", Profile.MAIN: "4d100b"}


@dataclass(frozen=True, slots=True)
class ProfileLevel:
    """A profile and ten times the level's number (31: level 3.1), so that levels compare."""

    profile: Profile
    level: float

    def __str__(self) -> str:
        if self.level == _LEVEL_1B:
            return _LEVEL_1B_TEXT[self.profile]
        return f"{self.profile.value}{int(self.level):02x}"


# RFC 6184 says Baseline level 1 where the parameter is absent; WebRTC endpoints all mean this instead.
_ABSENT: Final = ProfileLevel(Profile.CONSTRAINED_BASELINE, 31)


def parse_profile_level_id(text: object) -> ProfileLevel | None:
    """Six hex digits; None where they, or their combination, mean nothing."""
    if not isinstance(text, str) or re.fullmatch(r"[0-9A-Fa-f]{6}", text) is None:
        return None
    idc, iop, level_idc = bytes.fromhex(text)
    if level_idc not in _LEVELS:
        return None
    level = _LEVEL_1B if level_idc == 11 and iop & _CONSTRAINT_SET3 else float(level_idc)
    for pattern_idc, mask, value, profile in _PATTERNS:
        if idc == pattern_idc and iop & mask == value:
            return ProfileLevel(profile, level)
    return None


def same_profile(ours: Mapping[str, object], theirs: Mapping[str, object]) -> bool:
    """Whether two sets of codec parameters name one valid profile, whatever the level."""
    first, second = _profile_level(ours), _profile_level(theirs)
    return first is not None and second is not None and first.profile is second.profile


def answer_profile_level_id(ours: Mapping[str, object], theirs: Mapping[str, object]) -> str | None:
    """The profile-level-id that answers `theirs`: our level where both allow asymmetry, else the lower of the two.

    None where neither side states one. Only for parameters of which `same_profile` holds.
    """
    if not ours.get("profile-level-id") and not theirs.get("profile-level-id"):
        return None
    first, second = _profile_level(ours), _profile_level(theirs)
    assert first is not None
    assert second is not None
    asymmetric = _allows_asymmetry(ours) and _allows_asymmetry(theirs)
    return str(ProfileLevel(first.profile, first.level if asymmetric else min(first.level, second.level)))


def _profile_level(parameters: Mapping[str, object]) -> ProfileLevel | None:
    text = parameters.get("profile-level-id")
    return parse_profile_level_id(text) if text else _ABSENT


def _allows_asymmetry(parameters: Mapping[str, object]) -> bool:
    return parameters.get("level-asymmetry-allowed") in (1, "1")
