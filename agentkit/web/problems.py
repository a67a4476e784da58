"""Errors as a client gets them: one shape, that of OpenAI's API, with a hint where there is one."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from agentkit.errors import (
    AgentkitError,
    BadAudio,
    Busy,
    Cancelled,
    Fenced,
    HookRefused,
    InvalidFile,
    MachineError,
    ModelBusy,
    ModelMissing,
    Parked,
    Skipped,
    UnknownName,
    UserError,
)

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

REASON = "agentkit.reason"
"""Where the scope of a request says why it was refused, for those who count."""

SOON = 1
"""Seconds after which it is worth to try again."""

STATUS: Sequence[tuple[type[AgentkitError], int]] = (
    (UnknownName, 404),
    (UserError, 400),
    (Busy, 429),
    (ModelBusy, 429),
    (ModelMissing, 409),
    (Parked, 409),
    (Skipped, 409),
    (Fenced, 409),
    (Cancelled, 409),
    (MachineError, 503),
    (AgentkitError, 422),
)
"""The first that fits counts."""


SHAPE = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"enum": ["invalid_request_error", "rate_limit_error", "server_error"]},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
                "hint": {"type": ["string", "null"]},
                "problems": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}
"""Of every error as JSON Schema; `hint` is of our own API, and `problems` are those of a file."""


def sort(code: int) -> str:
    """What clients of OpenAI's API find in `type`: whose fault it is, in one of their words."""
    if code == 429:
        return "rate_limit_error"
    return "invalid_request_error" if code < 500 else "server_error"


def body(
    status: int, code: str, message: str, hint: str | None = None, **more: Any
) -> dict[str, Any]:
    """What stands in an answer that is an error; `code` says which one it is."""
    return {
        "error": {
            "message": message,
            "type": sort(status),
            "param": None,
            "code": code,
            "hint": hint,
            **more,
        }
    }


def status(error: AgentkitError) -> int:
    """The HTTP status of an error of ours."""
    if isinstance(error, HookRefused):
        return error.status
    return next(code for kind, code in STATUS if isinstance(error, kind))


def answer(error: AgentkitError) -> JSONResponse:
    """An error of ours as an answer."""
    headers = {}
    if status(error) == 429:
        headers["Retry-After"] = str(error.seconds if isinstance(error, Busy) else SOON)
    return JSONResponse(content(error), status(error), headers)


def content(error: AgentkitError) -> dict[str, Any]:
    """What stands in the answer."""
    more: dict[str, Any] = {}
    if isinstance(error, InvalidFile):
        more["problems"] = [asdict(problem) for problem in error.problems]
    if isinstance(error, BadAudio):  # who named the file may call it something else
        more["fault"] = error.fault
    return body(status(error), _name(error), str(error), error.hint, **more)


def _name(error: AgentkitError) -> str:
    """`UnknownName` as `unknown_name`."""
    name = type(error).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


async def refuse(
    scope: Scope,
    send: Send,
    code: int,
    kind: str,
    message: str,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """The same before there is a request to answer."""
    scope[REASON] = kind
    content = json.dumps(body(code, kind, message)).encode()
    length = (b"content-length", str(len(content)).encode())
    over = (b"connection", b"close")  # what stands behind the head is not read
    head = [(b"content-type", b"application/json"), length, over, *headers]
    await send({"type": "http.response.start", "status": code, "headers": head})
    await send({"type": "http.response.body", "body": content})


async def too_much(scope: Scope, send: Send, said: str, seconds: int) -> None:
    """Refuse, and say after how many seconds it is worth to ask again."""
    after = (b"retry-after", str(seconds).encode())
    await refuse(scope, send, 429, "rate_limit_exceeded", said, [after])


def explain_errors(app: FastAPI) -> None:
    """Let an application answer all errors in this shape."""

    async def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, AgentkitError)
        request.scope[REASON] = _name(error)
        return answer(error)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        said = "; ".join(map(_fault, error.errors()[:20]))
        request.scope[REASON] = "invalid_request"
        return JSONResponse(body(400, "invalid_request", said), 400)

    async def other(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        said = {404: "there is nothing here", 405: "not in this way"}.get(error.status_code)
        kind = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
        request.scope[REASON] = kind
        return JSONResponse(
            body(error.status_code, kind, said or str(error.detail)),
            error.status_code,
            dict(error.headers or {}),
        )

    async def bug(request: Request, error: Exception) -> JSONResponse:
        said = "this is a mistake of ours; the log of the service says more"
        return JSONResponse(body(500, "internal_error", said, "agentkit service logs"), 500)

    app.add_exception_handler(Exception, bug)
    app.add_exception_handler(AgentkitError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, other)


def _fault(fault: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"] if part != "body")
    said = str(fault["msg"])
    return f"{place}: {said}" if place else said
