"""A GGUF file in memory: loaded once, shared by every context on it."""

from __future__ import annotations

import ctypes
from collections import deque
from functools import cache
from pathlib import Path
from typing import Any

from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import MachineError, ModelDamaged


class Weights:
    """Owns the `llama_model*`.  Raises `ModelDamaged` with llama.cpp's own words if it cannot load.

    A llama.cpp built for Intel AMX crashes in its first matrix product, so such a build is kept off
    AMX here, at some cost in speed (docs/decisions/0001-no-amx.md; `make` builds without AMX).
    """

    def __init__(self, path: Path, name: str, *, gpu_layers: int = -1) -> None:
        import llama_cpp

        self._lib = llama_cpp
        self.name = name
        log = _quiet_log()
        log.clear()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.use_extra_bufts = b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info()
        self.handle: Any = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            reason = next((line for line in log if "error" in line.lower()), "cannot be loaded")
            raise ModelDamaged(name, f"llama.cpp refuses the file: {reason.strip()}")
        self.vocabulary = Vocabulary(llama_cpp.llama_model_get_vocab(self.handle))
        self.trained_context: int = llama_cpp.llama_model_n_ctx_train(self.handle)

    def metadata(self, key: str) -> str | None:
        """A value of the file's header, as text."""
        buffer = ctypes.create_string_buffer(1 << 16)
        length = self._lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return buffer.raw[:length].decode("utf-8", "replace") if 0 <= length < 1 << 16 else None

    @property
    def chat_template(self) -> str | None:
        """The Jinja template that the file carries."""
        raw = self._lib.llama_model_chat_template(self.handle, None)
        return raw.decode("utf-8", "replace") if raw else None

    def close(self) -> None:
        """Free the weights.  Every context on them must be gone."""
        if self.handle:
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


@cache
def _quiet_log() -> deque[str]:
    """Start llama.cpp's backend and keep its last words for error messages instead of printing."""
    import llama_cpp

    lines: deque[str] = deque(maxlen=50)

    @llama_cpp.llama_log_callback
    def keep(level: int, text: bytes, data: ctypes.c_void_p) -> None:
        if level >= 3:  # warnings and errors
            lines.append(text.decode("utf-8", "replace"))

    _KEEP_ALIVE.append(keep)
    llama_cpp.llama_backend_init()
    llama_cpp.llama_log_set(keep, ctypes.c_void_p(0))
    return lines


_KEEP_ALIVE: list[Any] = []
"""C holds a pointer to the callback; Python must hold one too."""
