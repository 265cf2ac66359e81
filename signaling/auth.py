"""Who may join, and who may administer: join tokens (JWT, HS256) and the one admin token. See docs/security.md."""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import jwt

from signaling.config import SignalingConfig
from signaling.errors import CallError, CallErrorCode, SignalingError
from signaling.messages import trimmed_name
from signaling.rooms import Role

SECRET_BYTES = 32  # RFC 7518 section 3.2: an HS256 key as long as the hash


@dataclass(frozen=True, slots=True)
class Grant:
    """What a join may do. `name`: what the token calls the peer, else None and it names itself."""

    name: str | None
    role: Role


class Authoriser:
    """Checks join tokens. Without a secret anybody may join any room and speak."""

    def __init__(self, secret: str) -> None:
        """Raises SignalingError for a secret that is too short to resist guessing."""
        if secret and len(secret.encode()) < SECRET_BYTES:
            raise SignalingError(f"The secret of the join tokens is too short: give at least {SECRET_BYTES} bytes.")
        self._secret = secret

    def check_join(self, token: str | None, room: str) -> Grant:
        """What `token` grants in `room`. Raises CallError `unauthorized` (none, false, expired) or `forbidden`."""
        if not self._secret:
            return Grant(None, "speaker")
        if not token:
            raise CallError(CallErrorCode.UNAUTHORIZED, "token: this server admits only those with a join token.")
        try:
            claims = jwt.decode(token, self._secret, algorithms=["HS256"], options={"require": ["exp", "room"]})
        except jwt.ExpiredSignatureError:
            raise CallError(CallErrorCode.UNAUTHORIZED, "token: it has expired; ask for a new one.") from None
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise CallError(CallErrorCode.UNAUTHORIZED, "token: not a valid join token of this server.") from None
        if claims["room"] != room:
            raise CallError(CallErrorCode.FORBIDDEN, "token: it is for another room.")
        role = claims.get("role", "speaker")
        if role not in ("speaker", "viewer"):
            raise CallError(CallErrorCode.UNAUTHORIZED, 'token: its role is neither "speaker" nor "viewer".')
        name = claims.get("name")
        if name is not None:
            try:
                name = trimmed_name(str(name))
            except ValueError:
                raise CallError(CallErrorCode.UNAUTHORIZED, "token: its name is not 1 to 80 characters.") from None
        return Grant(name, role)


def bearer_of(header: str | None) -> str | None:
    """The token of an `Authorization: Bearer …` header (RFC 6750)."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


class Admin:
    """Checks the admin token in constant time."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def check(self, authorization: str | None) -> None:
        """Raise CallError `unauthorized` unless the header carries the admin token."""
        given = bearer_of(authorization)
        if given is None or not hmac.compare_digest(given.encode("utf-8", "replace"), self._token):
            raise CallError(CallErrorCode.UNAUTHORIZED, "This needs the admin token: Authorization: Bearer <token>.")


def open_admin_token(config: SignalingConfig) -> str:
    """The configured admin token, or the one in data_dir/admin-token, which is made (mode 0600) if it is not there."""
    if config.admin_token:
        return config.admin_token
    path = Path(config.data_dir) / "admin-token"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            token = path.read_text().strip()
            if not token:
                raise SignalingError(
                    f"{path} is empty: delete it, and a new token is made at the next start."
                ) from None
            return token
        token = secrets.token_urlsafe(32)
        with os.fdopen(handle, "w") as file:
            file.write(token + "\n")
    except OSError as error:
        raise SignalingError(
            f"Cannot keep the admin token in {path}: {error.strerror}. Give another --data-dir."
        ) from None
    return token
