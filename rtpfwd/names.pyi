"""Names of the plane's enums: drop reasons for the counters, codecs and header extensions by their registered names."""

DROP_REASONS: tuple[str, ...]
EXTENSION_URIS: dict[str, int]

def extension_kind(uri: str) -> int:
    """The ExtKind of a header extension's uri; 0 (EXT_OTHER) for one that the plane does not know."""

def codec_of(mime_type: str) -> int:
    """The Codec of a mime type, in any case; 0 (CODEC_OTHER) for one whose payload the plane can't read."""
