"""What tests with foreign programs share: a real server to talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.foreign.sightline_up import Sightline, sightline_up


@pytest.fixture(scope="module")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sightline]:
    """`sightline up` on free ports of 127.0.0.1, one for the tests of a module: let each use a room of its own.

    It must come through without a traceback in its log, whatever its clients did. Its page is a blank one, so that no
    web client needs to be built.
    """
    web_root = tmp_path_factory.mktemp("web")
    (web_root / "index.html").write_text("<!doctype html><title>blank</title>")
    with sightline_up(tmp_path_factory.mktemp("server"), "--web-root", str(web_root)) as server:
        yield server
        assert not server.tracebacks()
