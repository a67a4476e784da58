"""Everything a face needs, opened or loaded when it is first asked for.

Use a `Runtime` as a context manager, or call `close`.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from agentkit import machine
from agentkit.cancel import CancelToken
from agentkit.compute import Compute
from agentkit.config import Settings, shipped
from agentkit.errors import UnknownName, UserError
from agentkit.events import Event
from agentkit.letters import Letter, LetterKind
from agentkit.outcomes import Outcome
from agentkit.permissions import Profile
from agentkit.pool import Pool, PooledChat, PooledEmbedder, PooledTranscriber
from agentkit.ports import ChatModel, Embedder, ToolServer, Transcriber
from agentkit.records import AgentRecord
from agentkit.runtime import permits
from agentkit.runtime.agents import COMMAND, Wish, definition, given
from agentkit.runtime.held import held
from agentkit.runtime.lent import Lent
from agentkit.runtime.listening import cancelled_by_letter
from agentkit.runtime.offers import Notice, Offers, room_now
from agentkit.runtime.trust import TrustedFolders
from agentkit.toolbox import Toolbox
from agentkit.toolbox.approvals import Approvals, Approver, nobody
from agentkit.toolbox.caller import Caller
from agentkit.toolbox.grants import Narrowing
from agentkit.toolbox.python import tool_name
from agentkit.toolbox.sources import FolderSource, FunctionSource, PackageSource, Source

if TYPE_CHECKING:
    from agentkit.agent.run import Part
    from agentkit.journal import Journal
    from agentkit.models import ModelStore, Plan
    from agentkit.runtime.bench import Speed
    from agentkit.runtime.memories import Memories
    from agentkit.workflow.load import LoadedWorkflow

Subscriber = Callable[[Event], None]


class How(TypedDict, total=False):
    """How a run is carried out.

    `handed` False: the inputs were chosen by a program, not by a person, and the files among them
    are not readable for that.  `work` is a folder of a person's in which the run works: it may read
    and change what is there.  `without` leaves parts of agents out, for comparison.
    """

    profile: Profile
    approver: Approver
    handed: bool
    work: Path | None
    without: frozenset[Part]
    cancel: CancelToken | None
    subscribers: tuple[Subscriber, ...]


def _silent(text: str) -> None:
    """For callers that do not want to know."""


class Runtime:
    """Store, journal, tools, models, workflows.

    `notice` is told what a person may want to know, such as the memory that a model will take.
    """

    def __init__(self, settings: Settings | None = None, *, notice: Notice = _silent) -> None:
        self.settings = settings or Settings.load()
        self.compute = Compute()
        engine = self.settings.engine
        self.pool = Pool(room_now, keep_alive=engine.keep_alive, most=engine.max_models)
        self._notice = notice
        self._remotes: dict[str, ChatModel] = {}
        self._opened: list[ToolServer] = []
        self._functions = FunctionSource()
        self._connecting = threading.Lock()

    # -- the parts -------------------------------------------------------------------------------

    @cached_property
    def store(self) -> ModelStore:
        """The models on this machine and the catalog of those that could be."""
        from agentkit.models import ModelStore, load_catalog

        catalog = load_catalog(self.settings.home / "catalog.yaml")
        return ModelStore(self.settings.models_folder, catalog)

    @cached_property
    def journal(self) -> Journal:
        """The record of all runs."""
        from agentkit.journal import Journal

        return Journal(self.settings.journal_file)

    @cached_property
    def toolbox(self) -> Toolbox:
        """All tools: of two with one name, the one that comes later here."""
        sources: list[Source] = [
            FolderSource(shipped("tools"), "shipped"),
            PackageSource(),
            *(FolderSource(folder, str(folder)) for folder in self.settings.tools.folders),
            FolderSource(self.settings.home / "tools", "yours"),
            self._functions,
        ]
        project = Path("tools").absolute()
        if project in self.trusted and project.resolve() != shipped("tools").resolve():
            sources.append(FolderSource(project, "project"))
        return Toolbox([*sources, *self._servers()])

    @cached_property
    def trusted(self) -> TrustedFolders:
        """The projects whose tools may be loaded."""
        return TrustedFolders(self.settings.home / "trusted-tools")

    def untrusted_tools(self) -> Path | None:
        """A folder of tools here that is not loaded, because nobody said that it may be."""
        folder = Path("tools").absolute()
        strange = folder.is_dir() and folder.resolve() != shipped("tools").resolve()
        return folder if strange and folder not in self.trusted else None

    def _servers(self) -> list[Source]:
        """The MCP servers that settings name; each is started when one of its tools is wanted."""
        if not self.settings.mcp:
            return []
        from agentkit.toolbox.servers import ALL_EFFECTS, ServerSource
        from agentkit.toolservers import McpServer

        sources: list[Source] = []
        for name, server in self.settings.mcp.items():
            made = McpServer(name, server)
            self._opened.append(made)
            effects = ALL_EFFECTS if server.effects is None else tuple(server.effects)
            only = None if server.tools is None else tuple(server.tools)
            sources.append(ServerSource(made, effects, only))
        return sources

    @cached_property
    def memories(self) -> Memories:
        """What is remembered: collections by name."""
        from agentkit.runtime.memories import Memories

        return Memories(self.settings, lambda: self.store, self.embedder, self._notice)

    @cached_property
    def _lent(self) -> Lent:
        return Lent(self.settings, self.transcriber, lambda: self.memories.collection())

    def caller(
        self,
        run: str,
        *,
        profile: Profile = "interactive",
        approver: Approver = nobody,
        handed: Iterable[Path] = (),
        narrowings: Iterable[Narrowing] = (),
        work: Path | None = None,
    ) -> Caller:
        """Makes the tool calls of one run, within what its profile grants.

        It works in its own folder, or in `work`.
        """
        own = self.settings.runs_folder / run
        folder = own if work is None else work.resolve()
        handed = [*handed, own]
        return Caller(
            self.toolbox,
            permits.grants(self.settings, profile, folder, handed=handed, narrowings=narrowings),
            Approvals(self.journal.desk, approver, run),
            self._lent,
            folder,
            home=own,
        )

    def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        profile: Profile = "interactive",
        approver: Approver = nobody,
        asker: str = "",
        cancel: CancelToken | None = None,
        subscribers: tuple[Subscriber, ...] = (),
    ) -> tuple[str, Outcome]:
        """Call one tool; the id of its run, and what came of it.

        `asker` names who calls again and again: an approval that one call asked for counts for the
        next same call.  Raises `Cancelled`.
        """
        from agentkit.runtime.one_call import one_call

        self.toolbox.refresh()
        run = new_run_id()
        caller = self.caller(run, profile=profile, approver=approver)
        if asker:
            caller = replace(caller, approvals=replace(caller.approvals, run=asker))
        publish = self._publisher(subscribers)
        return run, one_call(name, arguments, caller, run, publish, cancel or CancelToken())

    # -- models ----------------------------------------------------------------------------------

    @cached_property
    def _offers(self) -> Offers:
        return Offers(self.settings, self.store, self.compute, self._notice)

    def chat(self, name: str | None = None) -> ChatModel:
        """A chat model, here or on a remote; None: the one that settings map to the role.

        One on this machine is loaded when it is first used, and again if it had to go in between.
        Raises `UnknownName`, `ModelMissing`, `ModelDamaged`; its use `NotEnoughMemory`, too.
        """
        name = name or self.settings.roles.chat
        if name in self.settings.remotes:
            return self._remote(name)
        self.store.resolve(name, role="chat")
        return PooledChat(self.pool, name, partial(self._offers.chat, name))

    def transcriber(self, name: str | None = None) -> Transcriber:
        """A transcriber, loaded when it is used; None: the one that settings map to the role."""
        name = name or self.settings.roles.transcribe
        self.store.resolve(name, role="transcribe")
        return PooledTranscriber(self.pool, name, partial(self._offers.transcriber, name))

    def embedder(self, name: str | None = None) -> Embedder:
        """An embedder, loaded when it is used; None: the one that settings map to the role."""
        name = name or self.settings.roles.embed
        self.store.resolve(name, role="embed")
        return PooledEmbedder(self.pool, name, partial(self._offers.embedder, name))

    def plan(self, name: str) -> Plan:
        """How a chat model of this machine would be loaded into the memory that is free now.

        Raises `NotEnoughMemory` with what would fit, and what the store raises.
        """
        return self._offers.plan(name, room_now())

    def bench(self, name: str | None = None) -> Speed:
        """How fast a chat model of this machine is; takes about a minute on a CPU.

        Raises what `chat` raises, and `UserError` for a remote.
        """
        from agentkit.models import read_gguf
        from agentkit.runtime.bench import measure

        name = name or self.settings.roles.chat
        if name in self.settings.remotes:
            raise UserError(f"{name} runs on another machine: measure it there")
        plan = self.plan(name)
        return measure(
            self.chat(name),
            plan=plan.sentence,
            weights_read=None if plan.gpu_layers else read_gguf(self.store.resolve(name)).read_size,
            threads=self.settings.engine.threads or machine.physical_cores(),
        )

    def model_names(self) -> list[str]:
        """All models that can be named: of the store and of the remotes in settings."""
        return sorted({*self.store.names(), *self.settings.remotes})

    def _remote(self, name: str) -> ChatModel:
        from agentkit.remote import RemoteChatModel

        with self._connecting:
            if name not in self._remotes:
                remote = self.settings.remotes[name]
                self._remotes[name] = RemoteChatModel(
                    remote.url,
                    remote.model,
                    name=name,
                    token=_secret(name, remote.token_env) if remote.token_env else None,
                    context_tokens=remote.context_tokens,
                )
            return self._remotes[name]

    def sandbox_state(self) -> tuple[bool, str, str]:
        """Whether code can be kept apart here, in words, and the command that mends it."""
        if self.settings.sandbox == "none":
            return False, "off: code runs with your rights", "take `sandbox: none` out of settings"
        from agentkit.sandbox import availability

        found = availability()
        return found.works, found.reason or "code runs in bubblewrap", found.hint

    def engine_build(self) -> str:
        """What llama.cpp was built with: its instruction sets and accelerators.

        Raises `MachineError` if it is not installed or cannot be loaded.
        """
        from agentkit.engine import build_info

        return build_info()

    # -- workflows -------------------------------------------------------------------------------

    @property
    def workflow_folders(self) -> tuple[Path, ...]:
        """Where workflows and agents are looked for by name: here, the user's own, the shipped."""
        here = [Path(kind) for kind in ("workflows", "agents")]
        return (*here, *(self.settings.home / path for path in here), shipped("workflows"))

    def workflow_names(self) -> list[str]:
        """The workflows that can be run by name."""
        from agentkit.workflow.load import known

        return sorted(known(self.workflow_folders))

    def workflow(self, name: str) -> LoadedWorkflow:
        """A checked workflow, by path or name.  Raises `UnknownName` or `InvalidFile`."""
        from agentkit.workflow.load import find, load

        self.toolbox.refresh()
        path = find(name, self.workflow_folders)
        return load(path, self.toolbox, self.model_names())

    # -- agents ----------------------------------------------------------------------------------

    def lend(self, functions: Sequence[Callable[..., Any]]) -> list[str]:
        """Functions of a program as tools; their names.

        Raises `ToolError` for one that can be none, and what pydantic raises for its signature.
        """
        self._functions.add(functions)
        self.toolbox.refresh()
        return [tool_name(function) for function in functions]

    def agent(self, wish: Wish) -> LoadedWorkflow:
        """An agent as a person wishes it, as a workflow.

        Raises `UnknownName` for a tool or a model that is not there, `InvalidFile` for a budget or
        a check that makes no sense.
        """
        from agentkit.workflow.load import checked
        from agentkit.yamlfile import load

        self.toolbox.refresh()
        for name in wish.tools:
            self.toolbox.find(name)
        if wish.model is not None and wish.model not in self.model_names():
            hint = "agentkit models list"
            raise UnknownName("model", wish.model, self.model_names(), hint=hint)
        document = load(definition(wish), COMMAND)
        return checked(document, Path(COMMAND), self.toolbox, self.model_names())

    def pursue(
        self, agent: LoadedWorkflow, objective: str, folder: Path | None, **how: Unpack[How]
    ) -> dict[str, Any]:
        """Let an agent work towards an objective, in a folder of a person's or in one of its own.

        Raises what `run` raises.
        """
        how["work"] = folder
        return self.run(agent, given(objective, folder), **how)

    def run(
        self, workflow: LoadedWorkflow, given: Mapping[str, Any], **how: Unpack[How]
    ) -> dict[str, Any]:
        """Run a workflow to its end and return its outputs.

        The journal hears each event first, then the subscribers.  Raises `InvalidInput` or
        `ModelMissing` before anything starts, `StepFailed`, `ApprovalNeeded` (the run is parked) or
        `Cancelled` afterwards.
        """
        from agentkit.workflow.inputs import bind

        inputs = bind(workflow.spec, given)
        self._check_models(workflow)
        return self._execute(workflow, inputs, new_run_id(), None, how)

    def resume(self, name: str, **how: Unpack[How]) -> dict[str, Any]:
        """Go on with a run that was parked, failed or cancelled, or whose process died.

        The workflow is the one that the run began with, and what is finished is not done again.
        Returns its outputs.  Raises what `run` raises, and `UserError` for a run that cannot be
        resumed.
        """
        from agentkit.workflow.load import checked
        from agentkit.yamlfile import load

        record = self.journal.run(name)
        if record.status == "succeeded" or not record.source:
            what = "a single tool call" if not record.source else record.status
            hint = f"agentkit runs show {record.id}"
            raise UserError(f"the run {record.id} is {what}: there is nothing to resume", hint=hint)
        document = load(self.journal.definition(record.id), record.source)
        names = self.model_names()
        workflow = checked(document, Path(record.source), self.toolbox, names)
        self._check_models(workflow)
        done = {
            (step.step, step.key): step.outputs
            for step in self.journal.steps(record.id)
            if step.status in ("succeeded", "skipped")
        }
        if record.source == COMMAND and record.inputs.get("folder"):
            how["work"] = Path(record.inputs["folder"])  # a person gave it when the run began
        return self._execute(workflow, record.inputs, record.id, done, how)

    def _execute(
        self,
        workflow: LoadedWorkflow,
        inputs: Mapping[str, Any],
        run: str,
        done: Mapping[tuple[str, str], Any] | None,
        how: How,
    ) -> dict[str, Any]:
        from agentkit.workflow.run import WorkflowRun

        caller = self.caller(
            run,
            profile=how.get("profile", "interactive"),
            approver=how.get("approver", nobody),
            handed=permits.handed(workflow, inputs) if how.get("handed", True) else (),
            narrowings=[permits.narrowing(workflow)],
            work=how.get("work"),
        )
        cancel = how.get("cancel") or CancelToken()
        execution = WorkflowRun(
            workflow,
            inputs,
            run,
            self.settings.runs_folder / run,
            self,
            caller,
            self._publisher(how.get("subscribers", ())),
            cancel,
            done,
            how.get("without", frozenset()),
        )
        with (
            held(self.settings.runs_folder / run, run),
            cancelled_by_letter(self.journal.mailbox, run, cancel),
        ):
            return execution.execute()

    def past(self, run: str, step: str, item: int | None) -> AgentRecord:
        """What is on record of a step of a run that goes on."""

        told = self.journal.told(run, step, item)
        calls = self.journal.calls(run) if told else []
        return AgentRecord(told, {call.id: (call.status, call.outcome) for call in calls})

    def post(self, run: str, kind: LetterKind, text: str = "") -> None:
        """Say something to a run that is at work.  Raises `UserError` for one that is over."""
        record = self.journal.run(run)
        if record.status in ("succeeded", "failed", "cancelled"):
            hint = f"agentkit runs resume {run}" if record.status != "succeeded" else None
            raise UserError(f"the run {run} is over ({record.status}): nobody listens", hint=hint)
        self.journal.mailbox.post(run, Letter(kind, text))

    def tasks(self, run: str) -> list[tuple[str, str, str]]:
        """Id, status and text of all tasks of the agents of a run."""
        from agentkit.agent.state import rebuilt

        agents = {(event.step, event.item): None for event in self.journal.agent_events(run)}
        return [
            (task.id, task.status, task.text)
            for step, item in agents
            for task in rebuilt(self.journal.told(run, step, item)).tasks.tasks
        ]

    def letters(self, run: str) -> list[Letter]:
        """What a person said to a run since it was asked last."""
        return self.journal.mailbox.take(run, "note", "add", "drop", "order", "pause")

    def _publisher(self, subscribers: tuple[Subscriber, ...]) -> Subscriber:
        """Tells the journal first, then the others."""
        listeners = (self.journal.record, *subscribers)

        def publish(event: Event) -> None:
            for listener in listeners:
                listener(event)

        return publish

    def _check_models(self, workflow: LoadedWorkflow) -> None:
        """Raise what would go wrong when the models of a workflow are loaded, an hour from now."""
        roles = self.settings.roles.model_dump()
        for role, name in sorted(workflow.models(), key=str):
            model = name or roles[role]
            if role == "chat" and model in self.settings.remotes:
                self._remote(model)
                continue
            self.store.resolve(model, role=role)
            if role == "chat" and not self.pool.holdings():
                self.plan(model)

    # -- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """End what is running, unload models, close the journal.  Idempotent."""
        self.pool.close()
        for opened in self._opened:
            opened.close()
        for remote in self._remotes.values():
            remote.close()
        self._remotes.clear()
        if "memories" in self.__dict__:
            self.memories.close()
        if "journal" in self.__dict__:
            self.journal.close()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


def _secret(remote: str, variable: str) -> str:
    token = os.environ.get(variable)
    if not token:
        raise UserError(
            f"the variable {variable} with the token of the remote {remote!r} is not set",
            hint=f"export {variable}=..., or take token_env out of remotes.{remote} in settings",
        )
    return token


def new_run_id() -> str:
    """Sorts by time, can be typed, and does not collide: `20261122-101530-k3f9`."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    tail = "".join(secrets.choice(alphabet) for _ in range(4))
    return f"{datetime.now():%Y%m%d-%H%M%S}-{tail}"


def workflow_schema() -> dict[str, Any]:
    """The JSON Schema of a workflow file."""
    from agentkit.workflow.spec import json_schema

    return json_schema()
