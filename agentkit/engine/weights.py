"""A GGUF file in memory: loaded once, shared by every context on it."""

from __future__ import annotations

import ctypes
import os
import re
from collections import deque
from functools import cache
from pathlib import Path
from typing import Any

from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import MachineError, ModelDamaged, NotEnoughMemory


class Weights:
    """Owns the `llama_model*`.

    Raises `ModelDamaged` with llama.cpp's own words if it cannot be loaded, `NotEnoughMemory` if
    that was the reason.

    A llama.cpp built for Intel AMX crashes in its first matrix product, so such a build is kept off
    AMX here, at some cost in speed (docs/decisions/0001-no-amx.md; `make` builds without AMX).
    """

    def __init__(
        self, path: Path, name: str, *, gpu_layers: int = -1, only_vocabulary: bool = False
    ) -> None:
        import llama_cpp

        self._lib = llama_cpp
        self.name = name
        self.handle: Any = None
        self._adapters: dict[Path, Any] = {}
        if not path.is_file():
            raise ModelDamaged(name, f"{path} is not a file")
        log = _quiet_log()
        log.clear()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.vocab_only = only_vocabulary
        params.use_extra_bufts = b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info()
        self.handle = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        if not self.handle:
            raise _refusal(name, list(log))
        self.vocabulary = Vocabulary(llama_cpp.llama_model_get_vocab(self.handle))

    @property
    def recurrent(self) -> bool:
        """Whether it carries a state along (Mamba, RWKV, and hybrids with attention)."""
        lib = self._lib
        return bool(
            lib.llama_model_is_recurrent(self.handle) or lib.llama_model_is_hybrid(self.handle)
        )

    def adapter(self, path: Path) -> Any:
        """A LoRA adapter, loaded once.  Raises `ModelDamaged` if it does not fit the weights."""
        loaded = self._adapters.get(path)
        if loaded is None:
            log = _quiet_log()
            log.clear()
            loaded = self._lib.llama_adapter_lora_init(self.handle, os.fsencode(path))
            if not loaded:
                reason = log[0].strip() if log else "no reason given"
                raise ModelDamaged(
                    self.name,
                    f"the LoRA adapter {path} does not fit: {reason}",
                    hint="an adapter works with the very model that it was trained on",
                )
            self._adapters[path] = loaded
        return loaded

    @property
    def chat_template(self) -> str | None:
        """The Jinja template that the file carries."""
        raw = self._lib.llama_model_chat_template(self.handle, None)
        return raw.decode("utf-8", "replace") if raw else None

    def close(self) -> None:
        """Free the weights.  Every context on them must be gone."""
        if self.handle:
            for adapter in self._adapters.values():
                self._lib.llama_adapter_lora_free(adapter)
            self._adapters.clear()
            self._lib.llama_model_free(self.handle)
            self.handle = None


def build_info() -> str:
    """What llama.cpp was built with.  Raises `MachineError` if it cannot be loaded."""
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:
        raise MachineError(
            f"llama.cpp cannot be loaded: {error}",
            hint="pip install --force-reinstall --no-cache-dir llama-cpp-python",
        ) from None
    gpu = "GPU offload" if llama_cpp.llama_supports_gpu_offload() else "CPU only"
    return f"{gpu}; {llama_cpp.llama_print_system_info().decode().strip(' |')}"


def _refusal(name: str, log: list[str]) -> MachineError:
    """Why a file could not be loaded: the first line says it, the later ones who passed it on."""
    reason = _SPEAKERS.sub("", log[0]).strip() if log else "no reason given"
    if any("alloc" in line for line in log):
        return NotEnoughMemory(
            f"no memory for {name!r}: {reason}",
            hint="choose a smaller model, or put fewer layers on the GPU (engine.gpu_layers)",
        )
    return ModelDamaged(name, f"llama.cpp refuses the file: {reason}")


_SPEAKERS = re.compile(r"^(\w+: |error loading model( hyperparameters)?: )+")


@cache
def _quiet_log() -> deque[str]:
    """Start llama.cpp's backend and keep its last words for error messages instead of printing."""
    import llama_cpp

    lines: deque[str] = deque(maxlen=50)

    def keep(level: int, text: bytes, data: ctypes.c_void_p) -> None:
        if level >= 3:  # warnings and errors
            lines.append(text.decode("utf-8", "replace"))

    callback = llama_cpp.llama_log_callback(keep)
    _KEEP_ALIVE.append(callback)
    llama_cpp.llama_backend_init()
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    return lines


_KEEP_ALIVE: list[Any] = []
"""C holds a pointer to the callback; Python must hold one too."""
