"""The composition root: settings in, live objects out.  The only module that knows the adapters.

Nothing is opened or loaded before it is asked for.  Use it as a context manager, or call `close`.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from agentkit import machine
from agentkit.cancel import CancelToken
from agentkit.config import Settings, shipped
from agentkit.errors import NotEnoughMemory, human_bytes
from agentkit.events import Event
from agentkit.ports import ChatModel, Transcriber
from agentkit.toolbox import Toolbox

if TYPE_CHECKING:
    from agentkit.journal import Journal
    from agentkit.models import ModelStore
    from agentkit.workflow.load import LoadedWorkflow

DEFAULT_CONTEXT = 8192
"""Tokens; what a model was trained for, if that is less."""

Subscriber = Callable[[Event], None]


class Runtime:
    """Everything a face needs: store, journal, tools, models, workflows."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.load()
        self._chat_models: dict[str, ChatModel] = {}
        self._transcribers: dict[str, Transcriber] = {}
        self._loading = threading.Lock()

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

    def chat(self, name: str | None = None) -> ChatModel:
        """A chat model, loaded once; None: the one that settings map to the role.

        Raises `UnknownName`, `ModelMissing`, `ModelDamaged`, and `NotEnoughMemory` before loading.
        """
        name = name or self.settings.roles.chat
        with self._loading:
            if name not in self._chat_models:
                self._chat_models[name] = self._load_chat(name)
            return self._chat_models[name]

    def transcriber(self, name: str | None = None) -> Transcriber:
        """A transcriber, loaded once; None: the one that settings map to the role."""
        from agentkit.audio import WhisperTranscriber

        name = name or self.settings.roles.transcribe
        with self._loading:
            if name not in self._transcribers:
                path = self.store.resolve(name, role="transcribe")
                threads = self.settings.engine.threads
                self._transcribers[name] = WhisperTranscriber(path, name, threads=threads)
            return self._transcribers[name]

    def context_tokens(self, name: str) -> int:
        """How many tokens of context a chat model will get."""
        if self.settings.engine.context_tokens:
            return self.settings.engine.context_tokens
        header = self.store.describe(name).gguf
        trained = header.context_length if header else None
        return min(DEFAULT_CONTEXT, trained or DEFAULT_CONTEXT)

    def _load_chat(self, name: str) -> ChatModel:
        from agentkit.engine import LlamaChatModel
        from agentkit.models import estimate, read_gguf

        path = self.store.resolve(name, role="chat")
        engine = self.settings.engine
        context_tokens = self.context_tokens(name)
        need = estimate(read_gguf(path), context_tokens).total
        free = machine.memory()[1] + sum(gpu.memory_free for gpu in machine.gpus())
        if free and need > free:
            raise NotEnoughMemory(
                f"{name} with a context of {context_tokens} tokens needs {human_bytes(need)}, and "
                f"{human_bytes(free)} are free",
                hint=f"agentkit models show {name}  (what it needs with smaller contexts; set one "
                "with AGENTKIT_ENGINE__CONTEXT_TOKENS)",
            )
        return LlamaChatModel(
            path,
            name,
            context_tokens=context_tokens,
            threads=engine.threads or machine.physical_cores(),
            gpu_layers=engine.gpu_layers,
        )

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
        return load(path, tools, self.store.names())

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
        roles = self.settings.roles.model_dump()
        for role, name in sorted(workflow.models(), key=str):
            self.store.resolve(name or roles[role], role=role)
        listeners = (self.journal.record, *subscribers)

        def publish(event: Event) -> None:
            for listener in listeners:
                listener(event)

        run = new_run_id()
        folder = self.settings.runs_folder / run
        token = cancel or CancelToken()
        return WorkflowRun(workflow, inputs, run, folder, self, publish, token).execute()

    # -- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Unload models and close the journal.  Idempotent."""
        for chat in self._chat_models.values():
            chat.close()
        for transcriber in self._transcribers.values():
            transcriber.close()
        self._chat_models.clear()
        self._transcribers.clear()
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


def new_run_id() -> str:
    """Sorts by time, can be typed, and does not collide: `20261122-101530-k3f9`."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    tail = "".join(secrets.choice(alphabet) for _ in range(4))
    return f"{datetime.now():%Y%m%d-%H%M%S}-{tail}"


def workflow_schema() -> dict[str, Any]:
    """The JSON Schema of a workflow file."""
    from agentkit.workflow.spec import json_schema

    return json_schema()
