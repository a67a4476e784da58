"""The typed client has a method for all of our own API, and gives values for what it answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentkit import __version__
from agentkit.client import Client
from agentkit.errors import AgentkitError, BadAudio, Busy, MachineError, UserError
from agentkit.inventory import Loaded
from agentkit.ports import Condition

from .conftest import Served

CALLS: dict[str, Callable[[Client], Any]] = {
    "about": Client.about,
    "agent": lambda one: one.agent("find it"),
    "answer": lambda one: one.answer("q", "once"),
    "approvals": Client.approvals,
    "artifact": lambda one: one.artifact("r", "notes/a.md"),
    "artifacts": lambda one: one.artifacts("r"),
    "cancel": lambda one: one.cancel("r"),
    "collections": Client.collections,
    "details": lambda one: one.details("r"),
    "events": lambda one: list(one.events("r")),
    "forget": lambda one: one.forget("notes", [Condition("id", "=", "a")]),
    "import_": lambda one: one.import_("notes", Path("a.jsonl")),
    "keep": lambda one: one.keep("notes", "a text"),
    "loaded": Client.loaded,
    "metrics": Client.metrics,
    "models": Client.models,
    "pause": lambda one: one.pause("nightly"),
    "ready": Client.ready,
    "reembed": lambda one: one.reembed("notes"),
    "remove": lambda one: one.remove("r"),
    "resume": lambda one: one.resume("r"),
    "retry": lambda one: one.retry("r"),
    "run": lambda one: one.run("greet"),
    "runs": Client.runs,
    "say": lambda one: one.say("r", "note", "hello"),
    "schedules": Client.schedules,
    "search": lambda one: one.search("notes", "a text"),
    "take_in": lambda one: one.take_in("notes", [Path("a.md")]),
    "transcribe": lambda one: one.transcribe(Path("a.wav")),
    "trigger": lambda one: one.trigger("nightly"),
    "unload": Client.unload,
    "unpause": lambda one: one.unpause("nightly"),
    "up": Client.up,
    "upcoming": Client.upcoming,
    "why": lambda one: one.why("nightly"),
    "workflow": lambda one: one.workflow("greet"),
    "workflows": Client.workflows,
}
"""Each method, and how it is called."""

NO_REQUEST = {"here", "close"}
NOT_OURS = re.compile(r"/v1/|/tokenize|/detokenize")
"""What clients of OpenAI's API speak: they have a client."""
OF_OTHERS = {("POST", "/hooks/{workflow}")}
"""What is signed with a secret that we do not have."""


def refusing(asked: list[tuple[str, str]]) -> Client:
    """A client whose service notes what is asked, and refuses it."""

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path))
        return httpx.Response(404, json={"error": {"message": "no", "code": "not_found"}})

    client = Client("http://127.0.0.1:1", "secret")
    client._http = httpx.Client(
        base_url="http://127.0.0.1:1", transport=httpx.MockTransport(refuse)
    )
    return client


def test_it_covers_the_description_of_our_api(served: Served) -> None:
    public = {name for name in vars(Client) if not name.startswith("_")}
    assert public - NO_REQUEST == set(CALLS)

    asked: list[tuple[str, str]] = []
    with refusing(asked) as client:
        for call in CALLS.values():
            with suppress(UserError):
                call(client)
    with served.http() as http:
        paths = http.get("/openapi.json").json()["paths"]
    ours = {
        (method.upper(), path)
        for path, methods in paths.items()
        for method in methods
        if not NOT_OURS.match(path)
    }
    assert {_described(one, ours) for one in asked} == ours - OF_OTHERS
    assert not OF_OTHERS - ours


def _described(asked: tuple[str, str], ours: set[tuple[str, str]]) -> tuple[str, str]:
    """The operation that a request is, the one with the fewest parameters; itself, if none."""
    method, path = asked
    fitting = [
        one
        for one in ours
        if one[0] == method
        and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one[1].replace("{path}", ".+")), path)
    ]
    return min(fitting, key=lambda one: one[1].count("{"), default=asked)


def test_what_it_gives_are_values(served: Served) -> None:
    with served.client() as client:
        about = client.about()
        assert (about.version, about.runs) == (__version__, ())
        assert about.began < datetime.now(UTC)
        assert client.ready()
        assert "agentkit_requests_total" in client.metrics()

        greet = client.workflow("greet")
        assert (greet.name, greet.steps) == ("greet", ("hello",))
        assert (greet.inputs["who"].required, greet.inputs["who"].default) == (False, "world")

        assert {one.role for one in client.models()} >= {"chat", "embed", "transcribe"}
        assert not any(one.installed for one in client.models() if one.fault)
        assert client.loaded() == client.unload() == []
        assert client.collections() == []
        with pytest.raises(UserError, match="no memory named 'notes'"):
            client.forget("notes", [Condition("year", "<", 2000)])


def test_due_times_come_in_order(served: Served) -> None:
    with served.client() as client:
        while not client.schedules():
            pass
        due = client.upcoming(3)
    assert [(one.workflow, one.time.hour) for one in due] == [("nightly", 3)] * 3
    assert due == sorted(due, key=lambda one: one.time)


@pytest.mark.parametrize(
    ("status", "about", "kind"),
    [
        (400, {"code": "user_error"}, UserError),
        (409, {"code": "model_missing"}, MachineError),
        (422, {"code": "model_error"}, AgentkitError),
        (429, {"code": "rate_limit_exceeded"}, Busy),
        (503, {"code": "machine_error"}, MachineError),
        (400, {"code": "bad_audio", "fault": "said"}, BadAudio),
    ],
)
def test_an_error_is_of_the_kind_that_it_was(
    status: int, about: dict[str, str], kind: type[AgentkitError]
) -> None:
    error = {"message": "a.wav: said", "hint": "do it", **about}

    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json={"error": error})

    with Client("http://127.0.0.1:1", "secret") as client:
        client._http = httpx.Client(
            base_url="http://127.0.0.1:1", transport=httpx.MockTransport(refuse)
        )
        with pytest.raises(kind, match=r"a\.wav: said") as caught:
            client.loaded()
    assert type(caught.value) is kind


def test_work_that_breaks_off_is_an_error_with_the_way_on() -> None:
    told = 'event: progress\ndata: {"done": 1, "total": 2, "unit": "s"}\n\n: still here\n\n'
    steps: list[tuple[float, float | None, str]] = []
    with Client("http://127.0.0.1:1", "secret") as client:
        client._http = httpx.Client(
            base_url="http://127.0.0.1:1",
            transport=httpx.MockTransport(lambda request: httpx.Response(200, text=told)),
        )
        with pytest.raises(MachineError, match="did not end the work") as caught:
            client.transcribe(Path("a.wav"), progress=lambda *step: steps.append(step))
    assert steps == [(1, 2, "s")]
    assert "--local" in (caught.value.hint or "")


def test_loaded_models_have_bytes_and_users() -> None:
    told = [{"key": "tiny", "ram": 5, "vram": 0, "users": 1, "idle": 0.5}]
    with Client("http://127.0.0.1:1", "secret") as client:
        client._http = httpx.Client(
            base_url="http://127.0.0.1:1",
            transport=httpx.MockTransport(lambda request: httpx.Response(200, json=told)),
        )
        assert client.loaded() == [Loaded("tiny", ram=5, vram=0, users=1, idle=0.5)]
