"""How much memory a model will take, told from its header before it is loaded, and what fits.

    weights   the file: it is mapped into memory, or copied to the GPU, as it is
    repacked  without a GPU, the second copy of some tensors in the order that vector units like
    kv        keys and values of every token of the context, in every layer
    compute   the activations of one batch, its logits, the vocabulary

Each part but the last is what llama.cpp reports, to the byte; of `compute` it reserves what is said
here and touches less of it, so the total is an upper bound (figures: `tests/models/test_fit.py`).
A sliding window is counted as full: the engine keeps the whole context, so that prefixes can be
shared.

`plan` chooses what the settings leave open.  Its rules, the first that fits wins:

1. All layers on the GPUs, with the first step of `LADDER` down to 8k tokens that has room there.
2. As many layers on the GPUs as have room with a context of 8k tokens.
3. No layer on a GPU.  A context beyond 8k is chosen only while the model takes no more than half of
   the free memory, because a CPU shares it with everything else that runs.
4. The same three with a context of 4k tokens.

No step goes beyond what the model was trained for.  A q8_0 cache is chosen only where f16 would
cost half of the context: it is a little less exact, and on a CPU slower.  From each GPU `MARGIN` is
kept back, for CUDA itself and for a Whisper beside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from agentkit.errors import NotEnoughMemory, human_bytes
from agentkit.models.gguf import Gguf

KvType = Literal["f16", "q8_0"]

BYTES_PER_VALUE: dict[KvType, float] = {"f16": 2.0, "q8_0": 34 / 32}
CELL_BLOCK = 256
"""llama.cpp rounds the context up to a multiple of this."""
BYTES_PER_WORD = 350
"""What llama.cpp keeps in memory for each entry of the vocabulary."""
BATCH, GPU_BATCH = 256, 512
"""Tokens that the engine reads at once, without and with a GPU."""

ENOUGH = 8192
"""Tokens of context below which a model is cramped."""
LADDER: tuple[tuple[int, KvType], ...] = (
    (32768, "f16"),
    (16384, "f16"),
    (ENOUGH, "f16"),
    (ENOUGH, "q8_0"),
    (4096, "f16"),
    (4096, "q8_0"),
)
"""Contexts and caches in the order in which they are tried."""
MARGIN = 1 << 30
"""Bytes of each GPU that no model gets."""


# -- what a model needs ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes that a model needs on a CPU with a context of so many tokens."""

    context_tokens: int
    weights: int
    repacked: int
    kv: int
    compute: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.repacked + self.kv + self.compute


def estimate(
    gguf: Gguf,
    context_tokens: int,
    *,
    batch_tokens: int = BATCH,
    kv_type: KvType = "f16",
    flash: bool | None = None,
) -> MemoryNeed:
    """The need of a model on a CPU, reading prompts in pieces of `batch_tokens`.

    `flash` attention holds no matrix of scores; None: only where the cache is not f16, which needs
    it.
    """
    if flash is None:
        flash = kv_type != "f16"
    return MemoryNeed(
        context_tokens=context_tokens,
        weights=gguf.file_size,
        repacked=gguf.repacked_size,
        kv=sum(_kv(gguf, context_tokens, kv_type)),
        compute=_buffer(gguf, context_tokens, batch_tokens, flash=flash)
        + gguf.vocabulary * BYTES_PER_WORD,
    )


def usual_contexts(gguf: Gguf) -> tuple[int, ...]:
    """4k, 8k, 16k and 32k tokens, as far as the model was trained for."""
    trained = gguf.context_length or 4096
    usual = tuple(sorted({size for size, _ in LADDER if size <= trained}))
    return usual or (trained,)


def _cells(context_tokens: int) -> int:
    return -(-context_tokens // CELL_BLOCK) * CELL_BLOCK


def _kv(gguf: Gguf, context_tokens: int, kv_type: KvType) -> list[int]:
    """Bytes of keys and values, for each layer."""
    width = (gguf.key_length + gguf.value_length) * BYTES_PER_VALUE[kv_type]
    return [int(_cells(context_tokens) * heads * width) for heads in gguf.kv_heads]


def _buffer(gguf: Gguf, context_tokens: int, batch: int, *, flash: bool) -> int:
    """The buffer in which a batch is computed: it holds its logits, and before them the scores.

    llama.cpp uses one place for both, as they are not needed at the same time.
    """
    logits = gguf.vocabulary + 2 * gguf.embedding_length
    heads = max((0, *gguf.heads))
    scores = 0 if flash else _cells(context_tokens) * (heads + 1) + 6 * gguf.embedding_length
    return batch * 4 * max(logits, scores)


# -- what fits -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model will be loaded, and what it needs for that: bytes.

    `gpu_layers` counts as llama.cpp does: the matrix after the last layer is one more.  `mapped` is
    the part of `ram` that the system goes on calling free: the file.  `free_ram` is None where it
    cannot be told.  `cramped` means that there would have been something better with more memory.
    """

    label: str
    context_tokens: int
    kv_type: KvType
    layers: int
    gpu_layers: int
    ram: int
    vram: int
    mapped: int
    free_ram: int | None
    free_vram: int
    cramped: bool

    @property
    def sentence(self) -> str:
        """`1.5B Q4_K_M, 32k context, needs 3.1 GB, 19 GB free`."""
        tokens, rest = divmod(self.context_tokens, 1024)
        size = f"{self.context_tokens}-token" if rest else f"{tokens}k"
        cache = "" if self.kv_type == "f16" else f" ({self.kv_type})"
        parts = [self.label, f"{size} context{cache}"]
        free = "" if self.free_ram is None else f", {human_bytes(self.free_ram)} free"
        if not self.vram:
            return ", ".join(parts) + f", needs {human_bytes(self.ram)}{free}"
        if self.gpu_layers <= self.layers:
            parts.append(f"{self.gpu_layers - 1} of {self.layers} layers on the GPU")
        return (
            f"{', '.join(parts)}, needs {human_bytes(self.vram)} on the GPU, "
            f"{human_bytes(self.free_vram)} free, and {human_bytes(self.ram)} beside{free}"
        )


def plan(
    gguf: Gguf,
    *,
    free_ram: int | None,
    gpus: Sequence[int] = (),
    wanted_context: int | None = None,
    wanted_layers: int | Literal["auto"] = "auto",
    wanted_kv: KvType | Literal["auto"] = "auto",
    name: str = "",
) -> Plan:
    """How to load a model into `free_ram` bytes of memory and GPUs with so many free bytes each.

    What is wanted is kept to; the rest is chosen by the rules above.  Without GPUs, wanted layers
    count as main memory: there may be one whose memory cannot be told apart.
    Raises `NotEnoughMemory` with what would fit.
    """
    search = _Search(gguf, free_ram, tuple(gpus), wanted_context, wanted_layers, wanted_kv)
    found = search.first()
    if found is None:
        raise NotEnoughMemory(_lack(search, name), hint=_what_fits(search))
    return found


@dataclass(frozen=True, slots=True)
class _Search:
    """What is there, what is wanted, and the plans that come into question."""

    gguf: Gguf
    free_ram: int | None
    gpus: tuple[int, ...]
    context: int | None
    layers: int | Literal["auto"]
    kv: KvType | Literal["auto"]

    @property
    def everything(self) -> int:
        """All layers as llama.cpp counts them."""
        return self.gguf.layers + 1

    def first(self) -> Plan | None:
        return next((plan for plan in self.candidates() if self.has_room(plan)), None)

    def candidates(self) -> Iterator[Plan]:
        """All plans, best first."""
        steps = list(self._steps())
        if self.layers != "auto":
            layers = self.everything if self.layers < 0 else min(self.layers, self.everything)
            yield from self._at(layers, steps)
            return
        for several in (
            [step for step in steps if step[0] >= ENOUGH],
            [step for step in steps if step[0] < ENOUGH],
        ):
            if self.gpus:
                yield from self._at(self.everything, several)
                for context, kv in several:
                    if self.context or context <= ENOUGH:
                        for layers in range(self.gguf.layers, 1, -1):
                            yield self._plan(context, kv, layers)
            yield from self._at(0, several)

    def has_room(self, plan: Plan) -> bool:
        if self.free_ram is not None and plan.ram > self.free_ram:
            return False
        return plan.vram <= self._gpu_room()

    def smallest(self) -> Plan:
        """The last resort, which says how much is missing."""
        return min(self.candidates(), key=lambda plan: (plan.vram, plan.ram))

    def _steps(self) -> Iterator[tuple[int, KvType]]:
        """Contexts and caches, best first."""
        for kv in ("f16", "q8_0") if self.context else ():
            if self.kv in ("auto", kv):
                yield self.context or 0, kv
        trained = self.gguf.context_length or ENOUGH
        for context, kv in () if self.context else LADDER:
            if self.kv in ("auto", kv) and context <= max(trained, LADDER[-1][0]):
                yield min(context, trained), kv

    def _at(self, layers: int, steps: Sequence[tuple[int, KvType]]) -> Iterator[Plan]:
        """With so many layers on the GPUs; with none, memory is shared with other programs."""
        for context, kv in steps:
            found = self._plan(context, kv, layers)
            ample = self.free_ram is not None and 2 * found.ram <= self.free_ram
            if found.vram or self.context or context <= ENOUGH or ample:
                yield found

    def _plan(self, context: int, kv: KvType, layers: int) -> Plan:
        gguf, on_gpu = self.gguf, layers if self.gpus else 0
        sizes = gguf.layer_sizes or (gguf.file_size // self.everything,) * gguf.layers
        first = gguf.layers - max(0, on_gpu - 1)  # the last layers go to the GPU
        cache = _kv(gguf, context, kv)
        moved = sum(sizes[first:]) + (gguf.output_size or gguf.input_size if on_gpu else 0)
        kept = gguf.file_size - sum(sizes[first:]) - (gguf.output_size if on_gpu else 0)
        batch, flash = (GPU_BATCH, True) if self.gpus else (BATCH, kv != "f16")
        buffer = _buffer(gguf, context, batch, flash=flash)
        repacked = 0 if self.gpus else gguf.repacked_size  # a GPU wants them as they are
        all_on_gpu = on_gpu == self.everything
        return Plan(
            label=_label(gguf),
            context_tokens=context,
            kv_type=kv,
            layers=gguf.layers,
            gpu_layers=layers,
            ram=kept
            + repacked
            + sum(cache[:first])
            + (0 if all_on_gpu else buffer)
            + gguf.vocabulary * BYTES_PER_WORD,
            vram=moved + sum(cache[first:]) + buffer * len(self.gpus) if on_gpu else 0,
            mapped=kept,
            free_ram=self.free_ram,
            free_vram=sum(self.gpus),
            cramped=self._is_cramped(context, kv, all_on_gpu=all_on_gpu),
        )

    def _is_cramped(self, context: int, kv: KvType, *, all_on_gpu: bool) -> bool:
        small = context < min(ENOUGH, self.gguf.context_length or ENOUGH)
        return (
            (self.context is None and small)
            or (self.kv == "auto" and kv != "f16")
            or (self.layers == "auto" and bool(self.gpus) and not all_on_gpu)
        )

    def _gpu_room(self) -> int:
        """Layers cannot be cut: on every further GPU up to one of them finds no place."""
        lost = (len(self.gpus) - 1) * max((0, *self.gguf.layer_sizes))
        return max(0, sum(max(0, free - MARGIN) for free in self.gpus) - max(0, lost))


def _lack(search: _Search, name: str) -> str:
    short = search.smallest()
    known = search.free_ram is None or short.ram <= search.free_ram
    need, free, place = (
        (short.vram, max(0, short.free_vram - MARGIN * len(search.gpus)), " on the GPU")
        if known
        else (short.ram, search.free_ram or 0, "")
    )
    who = f"{name} ({short.label})" if name else short.label
    return (
        f"{who} with a context of {short.context_tokens} tokens needs {human_bytes(need)}{place}, "
        f"and {human_bytes(free)} are free"
    )


def _what_fits(search: _Search) -> str:
    """Which one of the things wanted to give up, or else all of them, or another model."""
    gguf, ram, gpus = search.gguf, search.free_ram, search.gpus
    context, layers, kv = search.context, search.layers, search.kv
    ways = []
    for key, other in (
        ("context_tokens", _Search(gguf, ram, gpus, None, layers, kv)),
        ("kv_type", _Search(gguf, ram, gpus, context, layers, "auto")),
        ("gpu_layers", _Search(gguf, ram, gpus, context, "auto", kv)),
    ):
        if other != search and (found := other.first()):
            ways.append(f"engine.{key}: {getattr(found, key)}")
    if ways:
        return f"it would fit with {' or '.join(ways)} in settings"
    found = _Search(gguf, ram, gpus, None, "auto", "auto").first()
    if found:
        return (
            f"it would fit with engine.context_tokens: {found.context_tokens}, kv_type: "
            f"{found.kv_type}, gpu_layers: {found.gpu_layers} in settings"
        )
    return "choose a smaller model (agentkit models list), or close other programs"


def _label(gguf: Gguf) -> str:
    """`1.5B Q4_K_M`; a table that is stored twice counts once."""
    twice = gguf.vocabulary * gguf.embedding_length if gguf.input_size and gguf.output_size else 0
    count = gguf.parameters - twice
    size = f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.0f}M"
    return f"{size} {gguf.quantization}"
