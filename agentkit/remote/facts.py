"""What a server tells about itself: its kind, its models, and how much context there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentkit.errors import UnknownName, UserError
from agentkit.remote.dialects import DIALECTS, OWNERS, Dialect, Flavour
from agentkit.remote.server import Refused, Server, Stop


@dataclass(frozen=True, slots=True)
class Facts:
    """`context_tokens` is None where the server does not say.

    `knows_tools`: its chat template tells the model of tools; taken for granted elsewhere.
    """

    dialect: Dialect
    model: str
    models: tuple[str, ...]
    context_tokens: int | None = None
    knows_tools: bool = True


def learn(server: Server, model: str | None, flavour: Flavour | None, stop: Stop) -> Facts:
    """Ask `/v1/models`, and a llama-server for its `/props`.

    `model` None means the only one that the server has.  Raises `UnknownName` where that is not
    one, and what `Server.ask` raises but for a server that has no such list.
    """
    entries = _entries(server, stop)
    owners = [str(entry.get("owned_by")) for entry in entries]
    told: list[Flavour] = [OWNERS[owner] for owner in owners if owner in OWNERS]
    kind = flavour or (told[0] if told else "openai")
    names = tuple(str(entry.get("id")) for entry in entries)
    chosen = _choose(server.url, model, names)
    entry = next((entry for entry in entries if entry.get("id") == chosen), {})
    aliases = [alias for entry in entries for alias in _texts(entry.get("aliases"))]
    if kind == "llama.cpp":
        if chosen not in (*names, *aliases):  # it would answer with the model that it has
            raise unknown_model(server.url, chosen, names)
        return _of_llama_server(server, chosen, names, entry, stop)
    return Facts(DIALECTS[kind], chosen, names, _tokens(entry.get("max_model_len")))


def unknown_model(url: str, model: str, known: tuple[str, ...]) -> UnknownName:
    """For a server that does not have it."""
    has = ", ".join(known[:20]) or "no model"
    return UnknownName("model on the server", model, known, hint=f"{url} has: {has}")


def _entries(server: Server, stop: Stop) -> list[Mapping[str, Any]]:
    try:
        listed = server.ask("models", None, stop).get("data")
    except Refused as refused:
        if refused.status != 404:
            raise
        return []
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _choose(url: str, model: str | None, names: tuple[str, ...]) -> str:
    if model is not None:
        return model
    if len(names) != 1:
        has = ", ".join(names[:20]) or "none"
        raise UserError(f"{url} does not have one model, so name the one you mean: it has {has}")
    return names[0]


def _of_llama_server(
    server: Server, model: str, names: tuple[str, ...], entry: Mapping[str, Any], stop: Stop
) -> Facts:
    try:
        props = server.ask("/props", None, stop)
    except Refused:  # it can be switched off
        props = {}
    generation, able = props.get("default_generation_settings"), props.get("chat_template_caps")
    context = generation.get("n_ctx") if isinstance(generation, dict) else None
    meta = entry.get("meta")
    return Facts(
        DIALECTS["llama.cpp"],
        model,
        names,
        _tokens(context) or _tokens(meta.get("n_ctx") if isinstance(meta, dict) else None),
        knows_tools=able.get("supports_tools") is not False if isinstance(able, dict) else True,
    )


def _tokens(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
