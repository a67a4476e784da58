"""A name becomes a model that can be asked: one of this machine, or a remote of the settings.

One of this machine is held by the pool: it is loaded when it is first used, and again if it had to
go in between.  A remote is one connection for all who ask for it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from agentkit import machine
from agentkit.compute import Compute
from agentkit.config import Settings
from agentkit.errors import UserError
from agentkit.pool import Pool, PooledChat, PooledEmbedder, PooledTranscriber
from agentkit.ports import ChatModel, Embedder, ModelRole, Scorer, Tokenizer, Transcriber
from agentkit.runtime.offers import Notice, Offers, room_now
from agentkit.toolbox.answer import counter
from agentkit.toolbox.output import beginning

if TYPE_CHECKING:
    from agentkit.engine import LlamaTokenizer
    from agentkit.models import ModelStore, Plan
    from agentkit.runtime.bench import Speed


@dataclass(frozen=True)
class Known(Collection[str]):
    """Names of models, looked for when one is needed: a workflow without a model needs none."""

    names: Callable[[], list[str]]

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())


class Models:
    """The models by name; None: the one that settings map to the role.

    May be used from any thread.
    """

    def __init__(
        self,
        settings: Settings,
        store: Callable[[], ModelStore],
        pool: Pool,
        compute: Compute,
        notice: Notice,
    ) -> None:
        self._settings = settings
        self._store = store
        self._pool = pool
        self._compute = compute
        self._notice = notice
        self._remotes: dict[str, ChatModel] = {}
        self._tokenizers: dict[Path, LlamaTokenizer] = {}
        self._connecting = threading.Lock()

    def names(self) -> list[str]:
        """All that can be named: of the store and of the remotes in settings."""
        return sorted({*self._store().names(), *self._settings.remotes})

    def chat(self, name: str | None = None) -> ChatModel:
        """A chat model, here or on a remote.

        Raises `UnknownName`, `ModelMissing`, `ModelDamaged`; its use `NotEnoughMemory`, too.
        """
        name = name or self._settings.roles.chat
        if name in self._settings.remotes:
            return self._remote(name)
        self._store().resolve(name, role="chat")
        return PooledChat(self._pool, name, partial(self._offers.chat, name))

    def full(self) -> frozenset[str]:
        """Chat models that would refuse a request now: too many wait for each already."""
        return frozenset(
            name for name, model in self._pool.loaded() if getattr(model, "full", False)
        )

    def transcriber(self, name: str | None = None) -> Transcriber:
        """A transcriber.  Raises what `chat` raises."""
        name = name or self._settings.roles.transcribe
        self._store().resolve(name, role="transcribe")
        return PooledTranscriber(self._pool, name, partial(self._offers.transcriber, name))

    def embedder(self, name: str | None = None) -> Embedder:
        """An embedder.  Raises what `chat` raises."""
        name = name or self._settings.roles.embed
        self._store().resolve(name, role="embed")
        return PooledEmbedder(self._pool, name, partial(self._offers.embedder, name))

    def scorer(self, name: str | None = None) -> Scorer:
        """A chat model whose probabilities can be read.

        Raises what `chat` raises, and `UserError` for a remote.
        """
        name = name or self._settings.roles.chat
        self._check_local(name, "the probabilities of a text")
        self._store().resolve(name, role="chat")
        return PooledChat(self._pool, name, partial(self._offers.chat, name))

    def tokenizer(self, name: str | None = None) -> Tokenizer:
        """The tokens of a chat model of this machine; its weights are not loaded.

        Raises what `chat` raises, and `UserError` for a remote.
        """
        name = name or self._settings.roles.chat
        self._check_local(name, "tokens")
        return self._tokenizer(name, self._store().resolve(name, role="chat"))

    def sees(self, name: str | None = None) -> bool:
        """Whether a chat model may look at pictures: one of this machine reads text only."""
        return (name or self._settings.roles.chat) in self._settings.remotes

    def beginning(self, text: str, tokens: int, name: str | None = None) -> str:
        """The beginning of a text that has at most so many tokens of a chat model.

        A model of this machine is not loaded for that, only its vocabulary is.  A remote counts
        itself where its server can; elsewhere it is an estimate, rather too short than too long.
        Raises what `chat` raises.
        """
        name = name or self._settings.roles.chat
        if name in self._settings.remotes:
            return beginning(text, tokens, counter(self._remote(name)))
        path = self._store().resolve(name, role="chat")
        return self._tokenizer(name, path).beginning(text, tokens)

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

        name = name or self._settings.roles.chat
        if name in self._settings.remotes:
            raise UserError(f"{name} runs on another machine: measure it there")
        plan, path = self.plan(name), self._store().resolve(name)
        return measure(
            self.chat(name),
            plan=plan.sentence,
            weights_read=None if plan.gpu_layers else read_gguf(path).read_size,
            threads=self._settings.engine.threads or machine.physical_cores(),
        )

    def check(self, needed: Iterable[tuple[ModelRole, str | None]]) -> None:
        """Raise what would go wrong when these are loaded, an hour from now."""
        roles = self._settings.roles.model_dump()
        for role, name in sorted(needed, key=str):
            model = name or roles[role]
            if role == "chat" and model in self._settings.remotes:
                self._remote(model)
                continue
            self._store().resolve(model, role=role)
            if role == "chat" and not self._pool.holdings():
                self.plan(model)

    def close(self) -> None:
        """Leave the remotes.  Idempotent.  The pool belongs to who made it."""
        with self._connecting:
            tokenizers, self._tokenizers = self._tokenizers, {}
            remotes, self._remotes = self._remotes, {}
        for tokenizer in tokenizers.values():
            tokenizer.close()
        for remote in remotes.values():
            remote.close()

    @cached_property
    def _offers(self) -> Offers:
        return Offers(self._settings, self._store(), self._compute, self._notice)

    def _check_local(self, name: str, what: str) -> None:
        if name in self._settings.remotes:
            raise UserError(f"{name} runs on another machine: ask its server for {what}")

    def _tokenizer(self, name: str, path: Path) -> LlamaTokenizer:
        from agentkit.engine import LlamaTokenizer

        with self._connecting:
            if path not in self._tokenizers:
                self._tokenizers[path] = LlamaTokenizer(path, name)
            return self._tokenizers[path]

    def _remote(self, name: str) -> ChatModel:
        from agentkit.remote import RemoteChatModel

        with self._connecting:
            if name not in self._remotes:
                remote = self._settings.remotes[name]
                self._remotes[name] = RemoteChatModel(
                    remote.url,
                    remote.model,
                    name=name,
                    token=_secret(name, remote.token_env) if remote.token_env else None,
                    context_tokens=remote.context_tokens,
                )
            return self._remotes[name]


def _secret(remote: str, variable: str) -> str:
    token = os.environ.get(variable)
    if not token:
        raise UserError(
            f"the variable {variable} with the token of the remote {remote!r} is not set",
            hint=f"export {variable}=..., or take token_env out of remotes.{remote} in settings",
        )
    return token
