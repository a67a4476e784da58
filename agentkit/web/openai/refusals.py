"""Errors in OpenAI's shape: `param` says which parameter is to blame, `code` is for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from agentkit.errors import (
    AgentkitError,
    Busy,
    Cancelled,
    MachineError,
    ModelBusy,
    ModelMissing,
    PromptTooLong,
    UnknownName,
    Unsupported,
    UserError,
)
from agentkit.web.problems import REASON, SOON

ENDED = 499
"""What nginx notes for a client that did not wait for the answer; nobody reads it."""


READ = {"/v1/chat/completions": "messages", "/v1/completions": "prompt"}
"""Where what the model reads stands in a request; elsewhere it is `input`."""


DEEPEST = 100
"""Lists and objects within each other: whoever reads a schema does so one call within another."""


class Refused(UserError):
    """A parameter that is wrong, or means something that is not done here."""

    def __init__(
        self, param: str, message: str, *, code: str = "invalid_value", hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.param = param
        self.code = code


def unsupported(param: str, why: str = "", *, hint: str | None = None) -> Refused:
    """A parameter of the API that would have to be ignored."""
    said = f"{param!r} is not supported" + (f": {why}" if why else "")
    return Refused(param, said, code="unsupported_parameter", hint=hint)


class Route(APIRoute):
    """Answers errors in this shape, whatever the rest of the application does."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI."""
        handle = super().get_route_handler()
        path = self.path

        async def handled(request: Request) -> Response:
            try:
                return await handle(_Request(request.scope, request.receive))
            except RequestValidationError as error:
                refusal: AgentkitError = invalid(error, path)
            except PromptTooLong as error:
                code = "context_length_exceeded"
                refusal = Refused(READ.get(path, "input"), error.message, code=code)
            except AgentkitError as error:
                refusal = error
            except HTTPException as error:
                if error.status_code != 400:
                    raise
                said = f"the body cannot be read: {error.detail}"
                cause = error.__cause__  # what went wrong while it was read
                refusal = cause if isinstance(cause, Refused) else Refused("", said)
            request.scope[REASON] = _sorted(refusal)[2] or "invalid_request"
            return answer(refusal)

        return handled


class _Request(Request):
    """Of its body, Python's reader of JSON would take more than can be written again."""

    async def json(self) -> Any:
        """See Starlette.  Raises `JSONDecodeError` for NaN and for half a character, too.

        Raises `Refused` for what is deeper than `DEEPEST`.
        """
        body = await self.body()

        def refuse(what: str) -> Any:
            raise json.JSONDecodeError(f"{what} is no JSON", "", 0)

        try:
            value = json.loads(body, parse_constant=refuse)
        except RecursionError:
            raise _too_deep("") from None
        if body.count(b"{") + body.count(b"[") > DEEPEST:
            _check_depth(value)
        if b"\\ud" in body.lower():
            try:
                json.dumps(value, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                refuse("half a surrogate pair")
        return value


def _check_depth(body: Any) -> None:
    """Raise `Refused` for a parameter that is too deep, level by level instead of by recursion."""
    for name, value in body.items() if isinstance(body, dict) else [("", body)]:
        level, depth = _within([value]), 1
        while level and depth < DEEPEST:
            level, depth = [one for outer in level for one in _within(_values(outer))], depth + 1
        if level:
            raise _too_deep(name)


def _within(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, (dict, list))]


def _values(outer: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def _too_deep(param: str) -> Refused:
    what = repr(param) if param else "the body"
    return Refused(param, f"{what} has {DEEPEST} lists and objects within each other, or more")


def answer(error: AgentkitError) -> JSONResponse:
    """An error as an answer."""
    status, body = explained(error)
    headers = {}
    if status == 429:
        headers["Retry-After"] = str(error.seconds if isinstance(error, Busy) else SOON)
    return JSONResponse(body, status, headers)


def explained(error: AgentkitError) -> tuple[int, dict[str, Any]]:
    """The HTTP status of an error, and what a client gets to read."""
    status, kind, code, param = _sorted(error)
    hint = f" ({error.hint})" if error.hint else ""
    return status, {
        "error": {"message": f"{error}{hint}", "type": kind, "param": param, "code": code}
    }


def _sorted(error: AgentkitError) -> tuple[int, str, str | None, str | None]:
    wrong, ours = "invalid_request_error", "server_error"
    match error:
        case Refused():
            return 400, wrong, error.code, error.param or None
        case Unsupported():
            return 400, wrong, "unsupported_parameter", error.parameter
        case UnknownName() | ModelMissing():
            return 404, wrong, "model_not_found", "model"
        case UserError():
            return 400, wrong, None, None
        case ModelBusy() | Busy():
            return 429, "rate_limit_error", "rate_limit_exceeded", None
        case Cancelled():
            return ENDED, ours, "cancelled", None
        case MachineError():
            return 503, ours, "service_unavailable", None
        case _:
            return 500, ours, "model_error", None


# -- requests that are not well formed -------------------------------------------------------------


def invalid(error: RequestValidationError, path: str) -> Refused:
    """The fault of a request that says most about it."""
    faults: Sequence[Mapping[str, Any]] = error.errors()
    if faults[0]["type"] == "json_invalid":
        said = faults[0]["ctx"]["error"]
        return Refused("", f"the body is not valid JSON: {said}", code="invalid_json")
    if isinstance(error.body, bytes):
        hint = "send the header Content-Type: application/json"
        return Refused("", "the body is not said to be JSON", code="invalid_json", hint=hint)
    named = [(_param(fault, error.body), fault) for fault in faults]
    param, fault = max(named, key=_telling)
    if fault["type"] == "extra_forbidden":
        return unsupported(param, hint=f"what {path} takes stands in /openapi.json")
    if fault["type"] == "missing":
        return Refused(param, f"{param!r} is missing", code="missing_required_parameter")
    said = str(fault["msg"]).removeprefix("Value error, ")
    return Refused(param, f"{param!r}: {said[:1].lower()}{said[1:]}" if param else said)


def _telling(named: tuple[str, Mapping[str, Any]]) -> tuple[bool, bool, int]:
    """How much a fault tells: of what is of another type, nothing else is worth to be said."""
    param, fault = named
    other = fault["type"] == "literal_error" and fault["loc"][-1] == "type"
    return other, fault["type"] == "extra_forbidden", len(param)


def _param(fault: Mapping[str, Any], body: Any) -> str:
    """`messages[0].content` of a place in the body; parts that only pydantic knows are left out."""
    name, value = "", body
    for number, part in enumerate(fault["loc"][1:], 2):
        last = number == len(fault["loc"])
        if isinstance(part, int) and isinstance(value, list) and part < len(value):
            name, value = f"{name}[{part}]", value[part]
        elif isinstance(part, str) and isinstance(value, Mapping) and part in value:
            name, value = f"{name}.{part}" if name else part, value[part]
        elif last and fault["type"] == "missing":
            name = f"{name}.{part}" if name else str(part)
    return name
