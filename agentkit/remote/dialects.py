"""Which server knows which words: the OpenAI protocol is where they begin, not where they agree.

A word that a server does not know it mostly ignores without a sound, so what a dialect lacks is
refused here.  Read from the servers' own sources and documentation: llama-server of 2025 and 2026,
Ollama 0.12, vLLM 0.12.  `openai` is everybody else (LM Studio, SGLang, a gateway).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Flavour = Literal["llama.cpp", "ollama", "vllm", "openai"]

TRUNCATIONS = {"top_k": "top_k", "min_p": "min_p"}
DRY = {name: name for name in ("dry_multiplier", "dry_base", "dry_allowed_length")}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of server is spoken to.

    `sampling` has its words for what OpenAI's protocol lacks; where `says_all`, all of them are
    sent with each request, for the server would otherwise put defaults of its own in their place.
    `grammar` is how it takes constraints other than a JSON Schema.  Where it does not obey
    `tool_choice`, calls are forced by a JSON Schema.  `caches` prompts: a `warm` is worth its cost.
    """

    flavour: Flavour
    sampling: Mapping[str, str] = field(default_factory=dict)
    says_all: bool = False
    grammar: Literal["gbnf", "structured_outputs"] | None = None
    obeys_tool_choice: bool = True
    several_samples: bool = True
    biases: bool = True
    caches: bool = True


DIALECTS: dict[Flavour, Dialect] = {
    "llama.cpp": Dialect(
        "llama.cpp",
        {**TRUNCATIONS, "typical_p": "typical_p", "repeat_penalty": "repeat_penalty", **DRY},
        says_all=True,
        grammar="gbnf",
        obeys_tool_choice=False,
    ),
    "ollama": Dialect("ollama", obeys_tool_choice=False, several_samples=False, biases=False),
    "vllm": Dialect(
        "vllm",
        {**TRUNCATIONS, "repeat_penalty": "repetition_penalty"},
        says_all=True,
        grammar="structured_outputs",
    ),
    "openai": Dialect(
        "openai",
        {**TRUNCATIONS, "typical_p": "typical_p", "repeat_penalty": "repeat_penalty", **DRY},
        caches=False,
    ),
}

OWNERS: dict[str, Flavour] = {"llamacpp": "llama.cpp", "library": "ollama", "vllm": "vllm"}
"""Who says in `/v1/models` that the models are theirs (Ollama: of those of its own library)."""
