"""What tests with foreign programs share: a real server to talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.foreign.sightline_up import Sightline, sightline_up


@pytest.fixture(scope="module")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sightline]:
    """`sightline up` on free ports of 127.0.0.1, one for the tests of a module: let each use a room of its own.

    It must come through without a traceback in its log, whatever its clients did.
    """
    with sightline_up(tmp_path_factory.mktemp("server")) as server:
        yield server
        assert not server.tracebacks()
