"""Fixtures of the signaling tests: a media node, and a front over it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.signaling.client import Front, running_front
from tests.signaling.fake_node import FakeNode


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
async def front(node: FakeNode, tmp_path: Path) -> AsyncIterator[Front]:
    async with running_front(node, tmp_path) as running:
        yield running
