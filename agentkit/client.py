"""The service from Python: `Client.here()` finds the one of this machine.

Values are those of `records` and `events`; errors are ours, as the service meant them.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import MISSING, asdict, fields
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from agentkit import events as ev
from agentkit.cancel import LOOK, CancelToken
from agentkit.config import Settings
from agentkit.errors import AgentkitError, BadAudio, Busy, MachineError, UserError
from agentkit.inventory import Due, Loaded, ModelInfo, ServiceInfo, WorkflowInfo
from agentkit.messages import Usage
from agentkit.permissions import Request
from agentkit.ports import Condition, Imported, Progress, Recollection, Scalar, Taken, no_progress
from agentkit.records import ArtifactRecord, RunDetails, RunRecord, ScheduleView
from agentkit.secret_file import secret_in
from agentkit.transcript import Transcript
from agentkit.whereabouts import heard

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds for an answer."""
LOADING = 600.0
"""Seconds for one that a model may have to be loaded for."""
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

    # -- the service itself ------------------------------------------------------------------

    def up(self) -> bool:
        """Whether it answers."""
        try:
            bare = {"Authorization": ""}  # nobody needs to know the token to say that he is well
            return self._http.get("/health", timeout=2.0, headers=bare).status_code == 200
        except httpx.HTTPError:
            return False

    def ready(self) -> bool:
        """Whether it takes work: not while it stops."""
        try:
            return bool(self._get("/ready")["ready"])
        except MachineError:
            return False

    def about(self) -> ServiceInfo:
        """Its version, since when it is up, and the runs that are under way."""
        return _parsed(ServiceInfo, self._get("/api/service"))

    def metrics(self) -> str:
        """Numbers in Prometheus' text format."""
        return self._send("GET", "/metrics").text

    # -- runs --------------------------------------------------------------------------------

    def workflows(self) -> list[str]:
        """The names of all workflows."""
        return _parsed(list[str], self._get("/api/workflows"))

    def workflow(self, name: str) -> WorkflowInfo:
        """One of them: what it is for, what has to be given, its steps."""
        return _parsed(WorkflowInfo, self._get(f"/api/workflows/{quote(name, safe='')}"))

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
        self,
        objective: str,
        *,
        folder: Path | None = None,
        attended: bool = False,
        work: Path | None = None,
        tools: Sequence[str] | None = None,
        model: str | None = None,
        budget: Mapping[str, int] | None = None,
        checks: Sequence[Mapping[str, Any]] = (),
        strategy: str | Mapping[str, Any] | None = None,
        reflection: bool = True,
        memory: bool = True,
    ) -> str:
        """Let an agent work towards an objective; the id of its run.

        `folder` and `attended` as in `run`; in `work` it may change what is there.  What is left
        out is as `agentkit agent --help` says.
        """
        wish = {
            "work": None if work is None else str(work),
            "tools": None if tools is None else list(tools),
            "model": model,
            "budget": dict(budget or {}),
            "checks": [dict(check) for check in checks],
            "strategy": strategy if strategy is None or isinstance(strategy, str) else {**strategy},
            "reflection": reflection,
            "memory": memory,
        }
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

    def artifacts(self, run: str) -> list[ArtifactRecord]:
        """The files that a run made."""
        place = f"/api/runs/{quote(run, safe='')}/artifacts"
        return _parsed(list[ArtifactRecord], self._get(place))

    def artifact(self, run: str, path: str) -> bytes:
        """A file that a run made."""
        place = f"/api/runs/{quote(run, safe='')}/artifacts/{quote(path)}"
        return self._send("GET", place).content

    # -- what starts by itself ---------------------------------------------------------------

    def schedules(self) -> list[ScheduleView]:
        """All workflows with triggers."""
        return _parsed(list[ScheduleView], self._get("/api/schedules"))

    def upcoming(self, count: int = 10) -> list[Due]:
        """The next due times of all, soonest first."""
        return _parsed(list[Due], self._get("/api/schedules/next", {"count": count}))

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

    def collections(self) -> list[str]:
        """The names of the collections in which something was kept."""
        return _parsed(list[str], self._get("/api/memory"))

    def search(
        self, collection: str, query: str, *, limit: int = 5, where: Sequence[Condition] = ()
    ) -> list[Recollection]:
        """Entries of a collection of which all conditions hold and that fit a query, best first."""
        place = f"/api/memory/{quote(collection, safe='')}/search"
        body = {"query": query, "limit": limit, "where": list(map(asdict, where))}
        return _parsed(list[Recollection], self._post(place, body, patience=LOADING))

    def keep(
        self,
        collection: str,
        text: str,
        *,
        source: str = "api",
        metadata: Mapping[str, Scalar] | None = None,
    ) -> str:
        """Keep a text; the id of its entry: of an old one, if that says the same."""
        place = f"/api/memory/{quote(collection, safe='')}"
        body = {"text": text, "source": source, "metadata": dict(metadata or {})}
        return str(self._post(place, body, patience=LOADING)["id"])

    def take_in(
        self,
        collection: str,
        paths: Sequence[Path],
        *,
        metadata: Mapping[str, Scalar] | None = None,
        forget_gone: bool = False,
        progress: Progress = no_progress,
        cancel: CancelToken | None = None,
    ) -> Taken:
        """Bring a collection up to files and folders of this machine.

        `forget_gone` forgets what was taken in from there and is no longer there.  Progress counts
        bytes.
        """
        place = f"/api/memory/{quote(collection, safe='')}/documents"
        body = {
            "paths": [str(path.absolute()) for path in paths],
            "metadata": dict(metadata or {}),
            "forget_gone": forget_gone,
        }
        return _parsed(Taken, self._waited_for(place, body, progress, cancel))

    def import_(
        self,
        collection: str,
        file: Path,
        *,
        progress: Progress = no_progress,
        cancel: CancelToken | None = None,
    ) -> Imported:
        """Add the entries of an export on this machine; those that are there are left alone."""
        place = f"/api/memory/{quote(collection, safe='')}/import"
        body = {"path": str(file.absolute())}
        return _parsed(Imported, self._waited_for(place, body, progress, cancel))

    def reembed(
        self,
        collection: str,
        *,
        progress: Progress = no_progress,
        cancel: CancelToken | None = None,
    ) -> int:
        """Make the vectors of a collection its embedder's own; how many entries had to be read."""
        place = f"/api/memory/{quote(collection, safe='')}/reembed"
        return int(self._waited_for(place, {}, progress, cancel))

    def forget(self, collection: str, where: Sequence[Condition]) -> int:
        """Forget the entries of which all conditions hold; how many.  No condition forgets none."""
        place = f"/api/memory/{quote(collection, safe='')}/forget"
        return int(self._send("POST", place, json=list(map(asdict, where))).json())

    def transcribe(
        self,
        audio: Path,
        *,
        language: str | None = None,
        model: str | None = None,
        progress: Progress = no_progress,
        cancel: CancelToken | None = None,
    ) -> Transcript:
        """Write down what is said in a file of this machine: see `ports.Transcriber`."""
        body = {"path": str(audio.resolve()), "language": language, "model": model}
        try:
            found = self._waited_for("/api/transcripts", body, progress, cancel)
        except BadAudio as error:
            raise BadAudio(audio, error.fault, hint=error.hint) from None
        found.pop("text", None)
        return _parsed(Transcript, found)

    def models(self) -> list[ModelInfo]:
        """The models that can be named: `installed` are those that are on this machine."""
        return _parsed(list[ModelInfo], self._get("/api/models"))

    def loaded(self) -> list[Loaded]:
        """The models in memory."""
        return _parsed(list[Loaded], self._get("/api/models/loaded"))

    def unload(self) -> list[Loaded]:
        """Give the memory of idle models back; what is left."""
        return _parsed(list[Loaded], self._post("/api/models/unload", None))

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

    def _post(
        self, path: str, body: Mapping[str, Any] | None, *, patience: float = PATIENCE
    ) -> Any:
        return self._send("POST", path, json=body, timeout=patience).json()

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
            for about in _told(answer.iter_lines()):
                event = _event(about.get("event", ""), json.loads(about["data"]))
                if event is not None:
                    yield int(about.get("id", 0)), event

    def _waited_for(
        self, path: str, body: Mapping[str, Any], progress: Progress, cancel: CancelToken | None
    ) -> Any:
        """What came of work that says how far it is.  Raises what the work raised, `Cancelled`."""
        cancel, pause = cancel or CancelToken(), httpx.Timeout(PATIENCE, read=SILENCE)
        cancel.check()
        gone = "its connection broke off"
        try:
            with (
                self._http.stream("POST", path, json=body, timeout=pause) as answer,
                _hung_up(answer, cancel),
            ):
                if answer.is_error:
                    answer.read()
                _check(answer)
                for about in _told(answer.iter_lines()):
                    kind, data = about.get("event"), json.loads(about["data"])
                    if kind == "done":
                        return data
                    if kind == "error":
                        raise _meant(data["status"], data["error"])
                    if kind == "progress":
                        progress(data["done"], data["total"], data["unit"])
        except httpx.HTTPError as error:
            gone = str(error)
        cancel.check()
        hint = "agentkit service status; in this process: --local"
        raise MachineError(f"the service at {self.url} did not end the work: {gone}", hint=hint)


@contextmanager
def _hung_up(answer: httpx.Response, cancel: CancelToken) -> Iterator[None]:
    """While the block lasts, a cancel ends the connection, and with it the work at its other end.

    Whoever waits for the next line sees the end of the answer at once.
    """
    over, stream = threading.Event(), answer.extensions.get("network_stream")

    def look() -> None:
        while not over.wait(LOOK):
            if cancel.cancelled and stream is not None:
                with suppress(OSError):  # it has ended in between
                    stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
                return

    looker = threading.Thread(target=look, name="cancel of an answer", daemon=True)
    looker.start()
    try:
        yield
    finally:
        over.set()
        looker.join()


def _told(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Server-sent events, each with the names and values that it has."""
    about: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(": ")
        if colon and name:
            about[name] = value
        elif not line and "data" in about:
            yield about
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
    if answer.status_code == 429:
        raise Busy(str(about.get("message")), seconds=int(answer.headers.get("Retry-After", "1")))
    raise _meant(answer.status_code, about)


def _meant(status: int, about: Mapping[str, Any]) -> AgentkitError:
    """The error that an answer stands for: of those who have the same fault, the nearest."""
    said, hint, code = str(about.get("message")), about.get("hint"), about.get("code")
    if code == "bad_audio":
        fault = str(about.get("fault"))
        return BadAudio(Path(said.removesuffix(f": {fault}")), fault, hint=hint)
    if status >= 500:
        return MachineError(said, hint=hint)
    other = AgentkitError if status == UNFIT else UserError
    return _KINDS.get(code, other)(said, hint=hint)


UNFIT = 422
"""Neither the caller's fault nor the machine's: a model that failed, a tool."""

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
