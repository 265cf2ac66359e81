"""The web client's export, served with a strict policy."""

from __future__ import annotations

import base64
import hashlib

import pytest

from signaling.errors import SignalingError
from signaling.static import content_policy, open_web_client
from tests.signaling.client import running_front
from tests.signaling.test_rest import http

INLINE = "self.__next=[1]"


@pytest.fixture
def export(tmp_path):
    root = tmp_path / "out"
    for name, content in {
        "index.html": f"<html><script>{INLINE}</script><script src='/_next/static/a.js'></script></html>",
        "404.html": "<html>lost</html>",
        "r/index.html": "<html>room</html>",
        "about.html": "<html>about</html>",
        "_next/static/chunks/a-1f2e.js": "let a",
        "icon.svg": "<svg/>",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "secret.txt").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    return root


@pytest.fixture
async def front(node, tmp_path, export):
    async with running_front(node, tmp_path / "data", web_root=export) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "status", "content"),
    [
        ("/", 200, b"__next"),
        ("/index.html", 200, b"__next"),
        ("/r/team-42", 200, b"room"),
        ("/r/team-42/", 200, b"room"),
        ("/r/team-42?x=1", 200, b"room"),
        ("/r/", 200, b"room"),
        ("/r/UPPER", 404, b"lost"),
        ("/r/a/b", 404, b"lost"),
        ("/about", 200, b"about"),
        ("/none", 404, b"lost"),
        ("/none/", 404, b"lost"),
        ("/../secret.txt", 404, b"lost"),
        ("/%2e%2e/secret.txt", 404, b"lost"),
        ("/..%2fsecret.txt", 404, b"lost"),
        ("//etc/passwd", 404, b"lost"),
        ("/%2fetc/passwd", 404, b"lost"),
        ("/link.txt", 404, b"lost"),
        ("/r/%00", 404, b"lost"),
    ],
)
async def test_paths(front, path, status, content):
    answer = await http(front, "GET", path)
    assert answer.status == status
    assert content in answer.body
    assert b"secret" not in answer.body


async def test_a_directory_without_its_slash_is_redirected(front):
    answer = await http(front, "GET", "/r")
    assert (answer.status, answer.headers["location"]) == (308, "/r/")


async def test_caching(front):
    chunk = await http(front, "GET", "/_next/static/chunks/a-1f2e.js")
    assert chunk.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert chunk.headers["content-type"] == "text/javascript; charset=utf-8"
    page = await http(front, "GET", "/")
    assert page.headers["cache-control"] == "no-cache"
    again = await http(front, "GET", "/", headers=f"If-None-Match: {page.headers['etag']}\r\n")
    assert (again.status, again.body) == (304, b"")
    head = await http(front, "HEAD", "/")
    assert (head.status, head.body) == (200, b"")


async def test_the_policy_admits_the_inline_scripts_of_the_export_and_no_others(front):
    policy = (await http(front, "GET", "/r/x")).headers["content-security-policy"]
    expected = base64.b64encode(hashlib.sha256(INLINE.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{expected}';" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "frame-ancestors 'none'" in policy


def test_scripts_with_a_source_are_not_hashed():
    assert "sha256" not in content_policy(['<script async src="/a.js"></script>'])
    assert "sha256" in content_policy(['<SCRIPT id="x">1</SCRIPT>'])


async def test_a_folder_that_is_no_export_is_refused(tmp_path):
    with pytest.raises(SignalingError, match=r"index\.html"):
        await open_web_client(tmp_path)


async def test_without_a_web_client_the_front_page_says_so(node, tmp_path):
    async with running_front(node, tmp_path) as front:
        answer = await http(front, "GET", "/")
        assert answer.status == 200
        assert b"web client" in answer.body
        assert (await http(front, "GET", "/r/x")).status == 404
