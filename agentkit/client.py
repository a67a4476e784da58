"""The service from Python: `Client.here()` finds the one of this machine.

Values are those of `records` and `events`; errors are ours, as the service meant them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from agentkit import events as ev
from agentkit.config import Settings
from agentkit.errors import AgentkitError, Busy, MachineError, UserError
from agentkit.messages import Usage
from agentkit.permissions import Request
from agentkit.ports import Recollection
from agentkit.records import RunDetails, RunRecord, ScheduleView
from agentkit.secret_file import secret_in
from agentkit.whereabouts import heard

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds for an answer."""
SILENCE = 60.0
"""Seconds without a sign of a stream, which has one every 15."""
TRIES = 5
"""Times that a stream is asked for again after it broke."""
PAUSE = 0.5
"""Seconds between two of them."""


class Client:
    """May be used from any thread.  Every method raises what the service answers, and
    `MachineError` if it cannot be reached.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=PATIENCE, trust_env=False)

    @classmethod
    def here(cls, settings: Settings | None = None) -> Client | None:
        """That of this home; None: none is up."""
        settings = settings or Settings.load()
        found = heard(settings)
        if found is None:
            return None
        client = cls(found.url, secret_in(settings.service_token))
        if client.up():
            return client
        client.close()
        return None

    # -- runs --------------------------------------------------------------------------------

    def up(self) -> bool:
        """Whether it answers."""
        try:
            bare = {"Authorization": ""}  # nobody needs to know the token to say that he is well
            return self._http.get("/health", timeout=2.0, headers=bare).status_code == 200
        except httpx.HTTPError:
            return False

    def workflows(self) -> list[str]:
        """The names of all workflows."""
        return _parsed(list[str], self._get("/api/workflows"))

    def run(
        self,
        workflow: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        folder: Path | None = None,
        attended: bool = False,
        id: str | None = None,
    ) -> str:
        """Begin a run; its id, which the caller may choose: asked again with it, none begins.

        `folder` is where the caller is: paths are relative to it.  `attended`: a person is there
        and can be asked, and what is in the folder may be read.
        """
        about = {"workflow": workflow, "inputs": dict(inputs or {}), "id": id}
        body = {**about, **_from(folder, attended)}
        return str(self._post("/api/runs", body)["id"])

    def agent(
        self, objective: str, *, folder: Path | None = None, attended: bool = False, **wish: Any
    ) -> str:
        """Let an agent work towards an objective; the id of its run.

        `folder` and `attended` as in `run`; `wish` has the fields of `AgentRequest` in the API's
        description.
        """
        body = {"objective": objective, **_from(folder, attended), **wish}
        return str(self._post("/api/agents", body)["id"])

    def runs(self, *, limit: int = 20, status: str | None = None) -> list[RunRecord]:
        """The newest runs, newest first."""
        asked = {"limit": limit, **({"status": status} if status else {})}
        return _parsed(list[RunRecord], self._get("/api/runs", asked))

    def details(self, run: str) -> RunDetails:
        """One run."""
        return _parsed(RunDetails, self._get(f"/api/runs/{quote(run, safe='')}"))

    def events(self, run: str, after: int = 0) -> Iterator[tuple[int, ev.Event]]:
        """What happens in a run and in those that belong to it, until it ends.

        Each with its number, from which on one can ask again; progress has 0.  A stream that breaks
        is asked for again, from where it was; what other tables hold (inputs, outputs) is empty in
        these.
        """
        tries = TRIES
        while True:
            try:
                for number, event in self._stream(run, after):
                    after, tries = number or after, TRIES
                    yield number, event
            except httpx.HTTPError as error:
                tries -= 1
                if not tries:
                    said = f"the service at {self.url} is gone: the run goes on when it is back"
                    raise MachineError(said, hint=f"agentkit runs watch {run}") from error
                time.sleep(PAUSE)
                continue
            return

    def cancel(self, run: str) -> None:
        """Ask a run to stop."""
        self._post(f"/api/runs/{quote(run, safe='')}/cancel", None)

    def say(self, run: str, kind: str, text: str = "") -> None:
        """Say something to the agents of a run."""
        self._post(f"/api/runs/{quote(run, safe='')}/words", {"kind": kind, "text": text})

    def resume(
        self,
        run: str,
        inputs: Mapping[str, str] | None = None,
        *,
        folder: Path | None = None,
        attended: bool = False,
    ) -> str:
        """Go on with a run; `inputs` are those that are secret."""
        body = {"inputs": dict(inputs or {}), **_from(folder, attended)}
        return str(self._post(f"/api/runs/{quote(run, safe='')}/resume", body)["id"])

    def retry(
        self,
        run: str,
        step: str | None = None,
        inputs: Mapping[str, str] | None = None,
        *,
        edited: bool = False,
        failed: bool = False,
        folder: Path | None = None,
        attended: bool = False,
    ) -> str:
        """Do what failed again, or a step and all that follows it: see `Runtime.retry`."""
        about = {"step": step, "edited": edited, "failed": failed, "inputs": dict(inputs or {})}
        body = {**about, **_from(folder, attended)}
        return str(self._post(f"/api/runs/{quote(run, safe='')}/retry", body)["id"])

    def remove(self, run: str) -> None:
        """Forget a run, and remove what it made."""
        self._send("DELETE", f"/api/runs/{quote(run, safe='')}")

    def artifact(self, run: str, path: str) -> bytes:
        """A file that a run made."""
        place = f"/api/runs/{quote(run, safe='')}/artifacts/{quote(path)}"
        return self._send("GET", place).content

    # -- what starts by itself ---------------------------------------------------------------

    def schedules(self) -> list[ScheduleView]:
        """All workflows with triggers."""
        return _parsed(list[ScheduleView], self._get("/api/schedules"))

    def why(self, workflow: str) -> list[str]:
        """What will start a workflow, what has, and why something did not."""
        return _parsed(list[str], self._get(f"/api/schedules/{quote(workflow, safe='')}/why"))

    def pause(self, workflow: str) -> None:
        """Let nothing start a workflow by itself."""
        self._send("POST", f"/api/schedules/{quote(workflow, safe='')}/pause")

    def unpause(self, workflow: str) -> None:
        """Let it be started again."""
        self._send("POST", f"/api/schedules/{quote(workflow, safe='')}/resume")

    def trigger(self, workflow: str, inputs: Mapping[str, Any] | None = None) -> str:
        """Start a workflow now, as if it were due; the id of its run."""
        place = f"/api/schedules/{quote(workflow, safe='')}/trigger"
        return str(self._post(place, {"inputs": dict(inputs or {})})["run"])

    # -- memory and models -------------------------------------------------------------------

    def search(self, collection: str, query: str, *, limit: int = 5) -> list[Recollection]:
        """Entries of a collection that fit a query, best first."""
        place = f"/api/memory/{quote(collection, safe='')}/search"
        return _parsed(list[Recollection], self._post(place, {"query": query, "limit": limit}))

    def keep(self, collection: str, text: str, *, source: str = "api") -> str:
        """Keep a text; the id of its entry."""
        place = f"/api/memory/{quote(collection, safe='')}"
        return str(self._post(place, {"text": text, "source": source})["id"])

    def models(self) -> list[str]:
        """The names of the models that are on this machine."""
        return [one["name"] for one in self._get("/api/models") if one["installed"]]

    # -- questions ---------------------------------------------------------------------------

    def approvals(self, *, everything: bool = False) -> list[Request]:
        """Questions to a person, the newest first."""
        return _parsed(list[Request], self._get("/api/approvals", {"everything": everything}))

    def answer(self, request: str, answer: str) -> None:
        """Answer one; the run that waits for it goes on."""
        self._post(f"/api/approvals/{quote(request, safe='')}", {"answer": answer})

    # -- the wire ----------------------------------------------------------------------------

    def close(self) -> None:
        """Close connections.  Idempotent."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _get(self, path: str, asked: Mapping[str, Any] | None = None) -> Any:
        return self._send("GET", path, params=asked).json()

    def _post(self, path: str, body: Mapping[str, Any] | None) -> Any:
        return self._send("POST", path, json=body).json()

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            hint = "agentkit service status"
            raise MachineError(f"no answer from {self.url}: {error}", hint=hint) from None
        _check(answer)
        return answer

    def _stream(self, run: str, after: int) -> Iterator[tuple[int, ev.Event]]:
        """Events with their numbers; progress has 0."""
        place = f"/api/runs/{quote(run, safe='')}/events"
        asked, pause = {"after": after}, httpx.Timeout(PATIENCE, read=SILENCE)
        with self._http.stream("GET", place, params=asked, timeout=pause) as answer:
            if answer.is_error:
                answer.read()
            _check(answer)
            about: dict[str, str] = {}
            for line in answer.iter_lines():
                name, colon, value = line.partition(": ")
                if colon and name:
                    about[name] = value
                elif not line and "data" in about:
                    event = _event(about.get("event", ""), json.loads(about["data"]))
                    if event is not None:
                        yield int(about.get("id", 0)), event
                    about = {}


def _from(folder: Path | None, attended: bool) -> Mapping[str, Any]:
    return {"here": None if folder is None else str(folder), "attended": attended}


def _parsed(kind: type[T], data: Any) -> T:
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        hint = "let both have the same version: agentkit --version"
        raise MachineError(f"the service answers in another way: {error}", hint=hint) from None


def _check(answer: httpx.Response) -> None:
    """Raise what an answer that is an error means."""
    if not answer.is_error:
        return
    try:
        about: Mapping[str, Any] = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        about = {"message": f"the service answered {answer.status_code}"}
    said, hint = str(about.get("message")), about.get("hint")
    if answer.status_code == 429:
        raise Busy(said, seconds=int(answer.headers.get("Retry-After", "1")))
    kind = MachineError if answer.status_code >= 500 else _KINDS.get(about.get("code"), UserError)
    raise kind(said, hint=hint)


_KINDS: Mapping[Any, type[AgentkitError]] = {"model_missing": MachineError}

_EVENTS: Mapping[str, type[ev.Event]] = {
    kind.__name__: kind
    for kind in vars(ev).values()
    if isinstance(kind, type) and issubclass(kind, ev.Event)
}

_EMPTY: Mapping[str, Any] = {"usage": Usage(), "definition": "", "inputs": {}, "outputs": {}}


def _event(kind: str, about: Mapping[str, Any]) -> ev.Event | None:
    """An event again; None: one of a newer service."""
    if kind not in _EVENTS:
        return None
    cls, values = _EVENTS[kind], dict(about)
    values["time"] = datetime.fromisoformat(values["time"])
    if values.get("usage"):
        values["usage"] = Usage(**values["usage"])
    known = {one.name: one for one in fields(cls)}
    for name, one in known.items():
        if name not in values and one.default is MISSING and one.default_factory is MISSING:
            values[name] = _EMPTY.get(name)
    return cls(**{name: value for name, value in values.items() if name in known})
