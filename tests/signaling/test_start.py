"""Starts that fail say why in one line; the admin token; rates."""

from __future__ import annotations

import pytest
import trio
from prometheus_client import CollectorRegistry

from signaling.auth import Authoriser, bearer_of, open_admin_token
from signaling.config import IceServer, SignalingConfig
from signaling.errors import SignalingError
from signaling.rates import TokenBucket
from signaling.server import serve_signaling
from tests.patience import patience
from tests.signaling.client import running_front
from tests.signaling.fake_node import FakeNode


async def start(config: SignalingConfig) -> None:
    with trio.fail_after(patience(5)):
        await serve_signaling(config, FakeNode(), registry=CollectorRegistry())


async def test_a_port_that_is_taken(front, tmp_path):
    with pytest.raises(SignalingError, match=f"127.0.0.1:{front.port} is taken: .*choose another with --port"):
        await start(SignalingConfig(port=front.port, data_dir=tmp_path / "other"))


async def test_an_address_that_is_not_ours(tmp_path):
    with pytest.raises(SignalingError, match=r"192\.0\.2\.1"):
        await start(SignalingConfig(host="192.0.2.1", port=0, data_dir=tmp_path))


async def test_a_short_secret(tmp_path):
    with pytest.raises(SignalingError, match="32 bytes"):
        await start(SignalingConfig(port=0, data_dir=tmp_path, auth_secret="short"))


async def test_a_web_root_that_is_none(tmp_path):
    with pytest.raises(SignalingError, match=r"index\.html"):
        await start(SignalingConfig(port=0, data_dir=tmp_path / "data", web_root=tmp_path))


async def test_a_data_dir_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SignalingError, match="admin token"):
        await start(SignalingConfig(port=0, data_dir=tmp_path / "file"))


def test_an_empty_admin_token_file_is_refused(tmp_path):
    (tmp_path / "admin-token").write_text("\n")
    with pytest.raises(SignalingError, match="empty"):
        open_admin_token(SignalingConfig(data_dir=tmp_path))


def test_a_configured_admin_token_is_used_and_not_written(tmp_path):
    assert open_admin_token(SignalingConfig(data_dir=tmp_path, admin_token="mine")) == "mine"
    assert list(tmp_path.iterdir()) == []


def test_secrets_do_not_show():
    config = SignalingConfig(
        auth_secret="hush-1",
        admin_token="hush-2",
        database_url="x://hush-3",
        ice_servers=(IceServer(("u",), "n", "hush-4"),),
    )
    assert "hush" not in repr(config)
    assert Authoriser("").check_join(None, "room").role == "speaker"


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", None), ("Bearer", None), ("", None), (None, None)],
)
def test_bearer(header, token):
    assert bearer_of(header) == token


def test_a_bucket_refills_up_to_its_burst():
    bucket = TokenBucket.full(rate=2.0, burst=3.0, now=10.0)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(10.5), bucket.take(10.5)] == [True, False]
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(999.0) is False  # a clock that steps back gives nothing


async def test_ice_servers_reach_the_client(node, tmp_path):
    servers = (IceServer(("stun:stun.example",)), IceServer(("turn:turn.example",), "user", "word"))
    async with running_front(node, tmp_path, ice_servers=servers) as front:
        client = await front.connect()
        assert (await client.join())["iceServers"] == [
            {"urls": ["stun:stun.example"]},
            {"urls": ["turn:turn.example"], "username": "user", "credential": "word"},
        ]
