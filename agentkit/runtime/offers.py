"""How each kind of model would be loaded into the memory there is: what the pool asks for.

A model is loaded as settings say, and where they say nothing, as it fits.  What comes of that is
told before it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from agentkit import machine
from agentkit.compute import Compute
from agentkit.config import Settings
from agentkit.errors import NotEnoughMemory, UserError, human_bytes
from agentkit.pool import Offer, Room
from agentkit.ports import Embedder, Transcriber

if TYPE_CHECKING:
    from agentkit.engine import LlamaChatModel
    from agentkit.models import ModelStore, Plan

Notice = Callable[[str], None]
"""Is told a sentence that a person may want to read."""

EMBED_TOKENS = 2048
"""The longest text of an embedder, where settings name no context."""

TORCH_WORK = 700_000_000
"""Bytes that torch takes beside the weights of an embedder; measured: 640 MB with 32 texts."""
TORCH_GPU_WORK = 1_000_000_000
"""The same on a GPU.  Not measured."""

WHISPER_WORK = 600_000_000
"""Bytes beside the weights on a CPU; measured over 3:37 min: 550 MB (tiny.en), 530 MB (base)."""
WHISPER_GPU_WORK = 1_000_000_000
"""Bytes on a GPU, with weights counted twice.  Not measured: what others report, rounded up."""


def room_now() -> Room:
    """The memory that is free on this machine."""
    return Room(machine.memory()[1] or None, tuple(gpu.memory_free for gpu in machine.gpus()))


class Offers:
    """Settings and a store on one side, a room on the other."""

    def __init__(
        self, settings: Settings, store: ModelStore, compute: Compute, notice: Notice
    ) -> None:
        self._settings = settings
        self._store = store
        self._compute = compute
        self._notice = notice
        self._contexts: dict[str, int] = {}
        """What models were loaded with: a model that comes back tries to be the same."""

    # -- chat ------------------------------------------------------------------------------------

    def plan(self, name: str, room: Room, context_tokens: int | None = None) -> Plan:
        """How a chat model would be loaded.  Raises `NotEnoughMemory` and what the store raises."""
        from agentkit.models import plan, read_gguf

        engine = self._settings.engine
        layers, gpus = engine.gpu_layers, room.gpus
        if layers == "auto" and not gpus and _uses_gpus():
            layers = -1  # one whose memory cannot be told: Vulkan, ROCm
        return plan(
            read_gguf(self._store.resolve(name, role="chat")),
            free_ram=room.ram,
            gpus=gpus if gpus and _uses_gpus() else (),
            wanted_context=engine.context_tokens or context_tokens,
            wanted_layers=layers,
            wanted_kv=engine.kv_type,
            name=name,
        )

    def chat(self, name: str, room: Room) -> Offer[LlamaChatModel]:
        """A chat model with its adapters."""
        before = self._contexts.get(name)
        try:
            plan = self.plan(name, room, before)
        except NotEnoughMemory:
            plan = replace(self.plan(name, room), cramped=True)
        adapters = self._adapters(name)
        return Offer(
            partial(self._load_chat, name, plan, adapters),
            ram=plan.ram + sum(file.stat().st_size for file in adapters.values()),
            vram=plan.vram,
            mapped=plan.mapped,
            cramped=plan.cramped,
        )

    def _load_chat(self, name: str, plan: Plan, adapters: dict[str, Path]) -> LlamaChatModel:
        from agentkit.engine import LlamaChatModel

        engine = self._settings.engine
        self._notice(f"loading {name}: {plan.sentence}")
        model = LlamaChatModel(
            self._store.resolve(name, role="chat"),
            name,
            context_tokens=plan.context_tokens,
            threads=self._threads,
            gpu_layers=plan.gpu_layers,
            kv_type=plan.kv_type,
            slots=engine.slots,
            queue=engine.queue,
            prompt_cache=engine.prompt_cache,
            adapters=adapters,
            compute=self._compute,
            prefix_folder=self._settings.prefixes_folder,
            digest=self._store.manifest(name).files[0].digest,
        )
        self._contexts[name] = plan.context_tokens
        return model

    def _adapters(self, name: str) -> dict[str, Path]:
        """The LoRA files of a model, by name."""
        chosen = self._settings.adapters.items()
        files = {key: adapter.file for key, adapter in chosen if adapter.model == name}
        for key, file in files.items():
            if not file.is_file():
                raise UserError(
                    f"the adapter {key!r} of {name} is not there: {file}",
                    hint=f"correct adapters.{key}.file in settings",
                )
        return files

    # -- transcribe and embed --------------------------------------------------------------------

    def transcriber(self, name: str, room: Room) -> Offer[Transcriber]:
        """Whisper, on a GPU if there is one with room for it."""
        from agentkit.audio import WhisperTranscriber

        path = self._store.resolve(name, role="transcribe")
        weights = sum(file.size for file in self._store.manifest(name).files)
        vram = 2 * weights + WHISPER_GPU_WORK
        on_gpu = vram <= max(room.gpus, default=0)
        need = weights + WHISPER_WORK
        _check(name, need, room)
        return Offer(
            lambda: WhisperTranscriber(
                path,
                name,
                threads=self._settings.engine.threads,
                device="auto" if on_gpu else "cpu",
                compute=self._compute,
            ),
            ram=need,
            vram=vram if on_gpu else 0,
            cramped=bool(room.gpus) and not on_gpu,
        )

    def embedder(self, name: str, room: Room) -> Offer[Embedder]:
        """An embedding model of either kind, on a GPU if there is one with room for it."""
        from agentkit.engine.embed import LlamaEmbedder
        from agentkit.models import estimate, read_gguf

        path = self._store.resolve(name, role="embed")
        if not path.is_file():
            return self._sentences(name, path, room)
        gguf = read_gguf(path)
        tokens = self._settings.engine.context_tokens or EMBED_TOKENS
        tokens = min(tokens, gguf.context_length or tokens)
        need = estimate(gguf, tokens, batch_tokens=tokens)
        wanted = self._settings.engine.gpu_layers != 0 and bool(room.gpus) and _uses_gpus()
        on_gpu = wanted and need.total <= max(room.gpus)
        ram = need.weights if on_gpu else need.total
        _check(name, ram, room)
        return Offer(
            lambda: LlamaEmbedder(
                path,
                name,
                threads=self._threads,
                context_tokens=tokens,
                gpu_layers=-1 if on_gpu else 0,
                compute=self._compute,
            ),
            ram=ram,
            vram=need.total if on_gpu else 0,
            mapped=need.weights,
            cramped=wanted and not on_gpu,
        )

    def _sentences(self, name: str, path: Path, room: Room) -> Offer[Embedder]:
        """A folder of sentence-transformers, on a GPU if there is one with room for it."""
        from agentkit.embedding import SentenceTransformersEmbedder

        weights = sum(file.size for file in self._store.manifest(name).files)
        on_gpu = weights + TORCH_GPU_WORK <= max(room.gpus, default=0)
        need = weights + TORCH_WORK
        _check(name, need, room)
        return Offer(
            lambda: SentenceTransformersEmbedder(
                path,
                name,
                threads=self._threads,
                device="auto" if on_gpu else "cpu",
                compute=self._compute,
            ),
            ram=need,
            vram=weights + TORCH_GPU_WORK if on_gpu else 0,
            cramped=bool(room.gpus) and not on_gpu,
        )

    @property
    def _threads(self) -> int:
        return self._settings.engine.threads or machine.physical_cores()


def _check(name: str, need: int, room: Room) -> None:
    if room.ram is not None and need > room.ram:
        raise NotEnoughMemory(
            f"{name} needs {human_bytes(need)}, and {human_bytes(room.ram)} are free",
            hint="choose a smaller model (agentkit models list), or close other programs",
        )


@cache
def _uses_gpus() -> bool:
    """Whether llama.cpp was built for GPUs."""
    from agentkit.engine import build_info

    return build_info().startswith("GPU")
