"""What a client may be told went wrong (docs/signaling.md, "Frames"), and how a media node's refusal maps to it."""

from __future__ import annotations

import enum

from protos.control import ErrorCode, NodeError


class CallErrorCode(enum.StrEnum):
    """The `code` of an error reply. The values are the wire's."""

    BAD_REQUEST = "bad_request"
    UNKNOWN_METHOD = "unknown_method"
    DUPLICATE_ID = "duplicate_id"
    NOT_JOINED = "not_joined"
    ALREADY_JOINED = "already_joined"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    BAD_STATE = "bad_state"
    UNSUPPORTED = "unsupported"
    LIMIT = "limit"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class CallError(Exception):
    """A refused request: nothing was changed. The message says what was wrong, where, and what to do."""

    def __init__(self, code: CallErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class SignalingError(Exception):
    """The front cannot run as configured (a port that is taken, a database out of reach): one line for the operator."""


_NODE_CODES = {
    ErrorCode.INVALID_ARGUMENT: CallErrorCode.BAD_REQUEST,
    ErrorCode.NOT_FOUND: CallErrorCode.NOT_FOUND,
    ErrorCode.ALREADY_EXISTS: CallErrorCode.INTERNAL,  # we choose the ids: a clash is never the client's doing
    ErrorCode.FAILED_PRECONDITION: CallErrorCode.BAD_STATE,
    ErrorCode.UNIMPLEMENTED: CallErrorCode.UNSUPPORTED,
    ErrorCode.RESOURCE_EXHAUSTED: CallErrorCode.LIMIT,
    ErrorCode.UNAVAILABLE: CallErrorCode.UNAVAILABLE,
    ErrorCode.INTERNAL: CallErrorCode.INTERNAL,
}

# What HTTP carriers (REST, WHIP, WHEP) answer for each code.
HTTP_STATUS = {
    CallErrorCode.BAD_REQUEST: 400,
    CallErrorCode.UNKNOWN_METHOD: 404,
    CallErrorCode.DUPLICATE_ID: 409,
    CallErrorCode.NOT_JOINED: 409,
    CallErrorCode.ALREADY_JOINED: 409,
    CallErrorCode.UNAUTHORIZED: 401,
    CallErrorCode.FORBIDDEN: 403,
    CallErrorCode.NOT_FOUND: 404,
    CallErrorCode.BAD_STATE: 409,
    CallErrorCode.UNSUPPORTED: 422,
    CallErrorCode.LIMIT: 429,
    CallErrorCode.UNAVAILABLE: 503,
    CallErrorCode.INTERNAL: 500,
}


def call_error_of(error: NodeError) -> CallError:
    """The client's view of a node's refusal. What is the node's own fault is not described to strangers."""
    code = _NODE_CODES[error.code]
    if code is CallErrorCode.INTERNAL:
        return CallError(code, "The media node failed to do this. Try again; the server's log has the reason.")
    return CallError(code, error.message)
