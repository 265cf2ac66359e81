"""Logs: one JSON object a line, on stderr and in a rotating file, with secrets struck out.

Code logs through `structlog.get_logger(__name__)`: a constant message, the facts as keywords. Libraries that use the
standard `logging` end in the same lines. Call `configure_logging` once, in the composition root.
"""

from __future__ import annotations

import logging
import logging.handlers
import re
import sys
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

FILE_BYTES = 16 * 1024 * 1024
FILE_COUNT = 5
STRUCK = "[secret]"
# Names of facts that are secrets whatever their value.
SECRET_NAME = re.compile(
    r"token|secret|password|passwd|credential|authorization|cookie|private_key|master_key|\bresume\b"
)
# Values that are secrets wherever they stand: bearer headers, JWTs, passwords within URLs.
SECRET_TEXT = re.compile(
    r"(?i:bearer\s+)[A-Za-z0-9._~+/=-]+"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)
NESTING = 4


def strike_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what looks like a secret, by its name or by its form."""
    return {name: _struck(name, value, NESTING) for name, value in event.items()}


def _struck(name: str, value: Any, depth: int) -> Any:
    if SECRET_NAME.search(name.lower()):
        return STRUCK
    if isinstance(value, str):
        return SECRET_TEXT.sub(STRUCK, value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, dict):
        if depth == 0:
            return "[…]"
        return {str(key): _struck(str(key), inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        if depth == 0:
            return "[…]"
        return [_struck(name, inner, depth - 1) for inner in value]
    return value


def configure_logging(
    *, level: str = "info", directory: Path | None = None, role: str = "sightline", stream: TextIO | None = None
) -> None:
    """Send every log line to `stream` (stderr) and, with a `directory`, to `<directory>/<role>.jsonl`, rotated.

    A terminal gets readable lines instead of JSON. Raises ValueError for an unknown level, OSError if the directory
    cannot be written.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level {level!r}: give debug, info, warning or error")
    stream = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    json_lines = _formatter(shared, role, json=True)
    console = logging.StreamHandler(stream)
    console.setFormatter(_formatter(shared, role, json=False) if stream.isatty() else json_lines)
    handlers: list[logging.Handler] = [console]
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            directory / f"{role}.jsonl", maxBytes=FILE_BYTES, backupCount=FILE_COUNT, encoding="utf-8"
        )
        file.setFormatter(json_lines)
        handlers.append(file)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(number)
    for chatty in ("alembic", "sqlalchemy", "hpack", "httpcore"):
        logging.getLogger(chatty).setLevel(max(number, logging.WARNING))


def _formatter(shared: list[Processor], role: str, *, json: bool) -> logging.Formatter:
    def name_role(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["role"] = role
        return event

    last: list[Processor]
    if json:
        last = [structlog.processors.format_exc_info, strike_secrets, structlog.processors.JSONRenderer(default=repr)]
    else:
        last = [structlog.processors.format_exc_info, strike_secrets, structlog.dev.ConsoleRenderer()]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, name_role, *last],
    )
