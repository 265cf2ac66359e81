"""Log lines as they come out, and the secrets that don't."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
from collections.abc import Iterator

import pytest
import structlog

from ops.logging import configure_logging


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in list(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    for handler in handlers:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_object_a_line_from_structlog_and_from_the_standard_library():
    stream = io.StringIO()
    configure_logging(stream=stream, role="signaling")
    structlog.get_logger("ours").info("joined", room="r", count=3)
    logging.getLogger("theirs").warning("odd: %s", "thing")
    structlog.get_logger("ours").debug("not at this level")
    ours, theirs = lines(stream)
    assert ours | {"timestamp": ""} == {
        "event": "joined",
        "room": "r",
        "count": 3,
        "level": "info",
        "logger": "ours",
        "role": "signaling",
        "timestamp": "",
    }
    assert (theirs["event"], theirs["level"], theirs["role"]) == ("odd: thing", "warning", "signaling")


def test_exceptions_are_one_line():
    stream = io.StringIO()
    configure_logging(stream=stream)
    try:
        raise ValueError("with\nnewlines")
    except ValueError:
        structlog.get_logger("ours").exception("failed")
    (line,) = lines(stream)
    assert "ValueError: with\nnewlines" in str(line["exception"])


@pytest.mark.parametrize(
    ("facts", "hidden"),
    [
        ({"token": "hush"}, "hush"),
        ({"admin_token": "hush"}, "hush"),
        ({"auth_secret": b"hush"}, "hush"),
        ({"resume": "hush"}, "hush"),
        ({"headers": {"Authorization": "Basic hush"}}, "hush"),
        ({"request": [{"password": "hush"}]}, "hush"),
        ({"header": "Bearer hush-hush.1"}, "hush"),
        ({"url": "postgresql+psycopg://user:hush@host/db"}, "hush"),
        ({"text": "eyJhbGciOiJIUzI1NiJ9.eyJyb29tIjoicm9vbSJ9.c2lnbmF0dXJl"}, "c2lnbmF0dXJl"),
        ({"key": b"hush"}, "hush"),
        ({"deep": {"a": {"b": {"c": {"d": {"e": "hush"}}}}}}, "hush"),
    ],
)
def test_secrets_are_struck_out(facts, hidden):
    stream = io.StringIO()
    configure_logging(stream=stream)
    structlog.get_logger("ours").info("something", **facts)
    assert len(lines(stream)) == 1
    assert hidden not in stream.getvalue()


def test_a_secret_in_the_text_of_an_exception_is_struck_out():
    stream = io.StringIO()
    configure_logging(stream=stream)
    try:
        raise ValueError("postgresql://user:hush@host")
    except ValueError:
        structlog.get_logger("ours").exception("failed")
    assert "hush" not in stream.getvalue()


def test_a_directory_gets_the_same_lines(tmp_path):
    stream = io.StringIO()
    configure_logging(stream=stream, directory=tmp_path / "logs", role="media")
    structlog.get_logger("ours").info("kept")
    assert (tmp_path / "logs" / "media.jsonl").read_text() == stream.getvalue()


def test_a_terminal_gets_lines_for_people():
    main, terminal = pty.openpty()
    with os.fdopen(terminal, "w", buffering=1) as stream, os.fdopen(main, "rb", buffering=0) as seen:
        configure_logging(stream=stream)
        structlog.get_logger("ours").info("joined", room="r")
        line = seen.read(4096)
    assert b"joined" in line
    assert not line.startswith(b"{")


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="loud"):
        configure_logging(level="loud")
