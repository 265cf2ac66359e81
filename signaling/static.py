"""The web client: a static export (Next.js), served from a table of its files that is made once at the start.

A request path is looked up in the table, never joined to a directory, so there is nothing to traverse. Inline scripts
of the pages are hashed into the Content-Security-Policy (CSP level 3), which admits no other inline script.
"""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

import trio

from signaling.errors import SignalingError

INLINE_SCRIPT = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)
ROOM_PATH = re.compile(r"/r/[a-z0-9-]{1,64}/?\Z")
IMMUTABLE = "/_next/static/"  # names there contain a hash of the content
FILES = 20_000
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the export."""

    path: Path
    content_type: str
    etag: str
    cache: str


@dataclass(frozen=True, slots=True)
class WebClient:
    """The whole export."""

    assets: dict[str, Asset]
    policy: str
    not_found: Asset | None

    def find(self, path: str) -> Asset | str | None:
        """The file for a request path (decoded), or a path to be redirected to, or None."""
        if ROOM_PATH.match(path):
            return self.assets.get("/r/index.html")
        if path.endswith("/"):
            return self.assets.get(path + "index.html")
        found = self.assets.get(path) or self.assets.get(path + ".html")
        if found is None and path + "/index.html" in self.assets:
            return path + "/"
        return found


def content_policy(pages: list[str]) -> str:
    """The Content-Security-Policy that admits the inline scripts of these pages and no others."""
    bodies = {body for page in pages for body in INLINE_SCRIPT.findall(page)}
    hashes = sorted(base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in bodies)
    scripts = " ".join(["'self'", *(f"'sha256-{one}'" for one in hashes)])
    return "; ".join(
        [
            "default-src 'self'",
            f"script-src {scripts}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' blob:",
            "connect-src 'self'",
            "worker-src 'self'",
            "object-src 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ]
    )


def _scan(root: Path) -> WebClient:
    root = root.resolve()
    if not (root / "index.html").is_file():
        raise SignalingError(f"{root} has no index.html: build the web client first, or give another --web-root.")
    assets: dict[str, Asset] = {}
    pages: list[str] = []
    for path in sorted(root.rglob("*")):
        if not path.is_file() or not path.resolve().is_relative_to(root):
            continue
        if len(assets) >= FILES:
            raise SignalingError(f"{root} has more than {FILES} files: is it the web client's export?")
        name = "/" + path.relative_to(root).as_posix()
        content = path.read_bytes()
        if path.suffix == ".html":
            pages.append(content.decode(errors="replace"))
        assets[name] = Asset(
            path,
            TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream",
            f'"{hashlib.sha256(content).hexdigest()[:32]}"',
            "public, max-age=31536000, immutable" if name.startswith(IMMUTABLE) else "no-cache",
        )
    return WebClient(assets, content_policy(pages), assets.get("/404.html"))


async def open_web_client(root: Path | None) -> WebClient:
    """Read the export once. Without a root there are no files. Raises SignalingError if it is not an export."""
    if root is None:
        return WebClient({}, content_policy([]), None)
    return await trio.to_thread.run_sync(_scan, root)
