"""Everything a face needs, opened or loaded when it is first asked for.

Use a `Runtime` as a context manager, or call `close`.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from agentkit import machine
from agentkit.cancel import CancelToken
from agentkit.compute import Compute
from agentkit.config import Settings, shipped
from agentkit.errors import UserError
from agentkit.events import Event
from agentkit.pool import Pool, PooledChat, PooledEmbedder, PooledTranscriber
from agentkit.ports import ChatModel, Embedder, Transcriber
from agentkit.runtime.offers import Notice, Offers, room_now
from agentkit.toolbox import Toolbox

if TYPE_CHECKING:
    from agentkit.journal import Journal
    from agentkit.models import ModelStore, Plan
    from agentkit.runtime.bench import Speed
    from agentkit.workflow.load import LoadedWorkflow

Subscriber = Callable[[Event], None]


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
        """The shipped tools, then the user's own."""
        return Toolbox([shipped("tools"), self.settings.home / "tools"])

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

    def engine_build(self) -> str:
        """What llama.cpp was built with: its instruction sets and accelerators.

        Raises `MachineError` if it is not installed or cannot be loaded.
        """
        from agentkit.engine import build_info

        return build_info()

    # -- workflows -------------------------------------------------------------------------------

    @property
    def workflow_folders(self) -> tuple[Path, ...]:
        """Where workflows are looked for by name: here, the user's own, the shipped ones."""
        return Path("workflows"), self.settings.home / "workflows", shipped("workflows")

    def workflow_names(self) -> list[str]:
        """The workflows that can be run by name."""
        from agentkit.workflow.load import known

        return sorted(known(self.workflow_folders))

    def workflow(self, name: str) -> LoadedWorkflow:
        """A checked workflow, by path or name.  Raises `UnknownName` or `InvalidFile`."""
        from agentkit.workflow.load import find, load

        path = find(name, self.workflow_folders)
        tools = {tool.name: tool for tool in self.toolbox}
        return load(path, tools, self.model_names())

    def run(
        self,
        workflow: LoadedWorkflow,
        given: Mapping[str, Any],
        *,
        cancel: CancelToken | None = None,
        subscribers: tuple[Subscriber, ...] = (),
    ) -> dict[str, Any]:
        """Run a workflow to its end and return its outputs.

        The journal hears each event first, then the subscribers.  Raises `InvalidInput` or
        `ModelMissing` before anything starts, `StepFailed` or `Cancelled` afterwards.
        """
        from agentkit.workflow.inputs import bind
        from agentkit.workflow.run import WorkflowRun

        inputs = bind(workflow.spec, given)
        self._check_models(workflow)
        listeners = (self.journal.record, *subscribers)

        def publish(event: Event) -> None:
            for listener in listeners:
                listener(event)

        run = new_run_id()
        folder = self.settings.runs_folder / run
        token = cancel or CancelToken()
        return WorkflowRun(workflow, inputs, run, folder, self, publish, token).execute()

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
        for remote in self._remotes.values():
            remote.close()
        self._remotes.clear()
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
