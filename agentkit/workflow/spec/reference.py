"""The reference page of the language, written from the same models that read the files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import getdoc, signature
from typing import Any

from agentkit.workflow.durations import DURATION
from agentkit.workflow.environment import FILTERS, OURS
from agentkit.workflow.spec.json_schema import json_schema

ORDER = (
    "Workflow", "Input", "Trigger", "After", "Watch", "Webhook", "Step", "Foreach", "Retry",
    "Cache", "Script", "Approve", "Prompt", "Example", "Agent", "AgentBudget", "Check", "Strategy",
    "Defaults", "PromptDefaults", "Concurrency", "Permissions",
)  # fmt: skip
"""The kinds of mappings, as a reader meets them."""

TITLES = {
    "Workflow": "A file", "Input": "`inputs`", "Trigger": "`triggers`", "After": "`after`",
    "Watch": "`watch`", "Webhook": "`webhook`", "Step": "A step", "Foreach": "`foreach`",
    "Retry": "`retry`", "Cache": "`cache`", "Script": "`run`", "Approve": "`approve`",
    "Prompt": "`prompt`", "Example": "`examples` of a prompt", "Agent": "`agent`",
    "AgentBudget": "`budget` of an agent", "Check": "`checks`", "Strategy": "`strategy`",
    "Defaults": "`defaults`", "PromptDefaults": "`defaults.prompt`",
    "Concurrency": "`concurrency`", "Permissions": "`permissions`",
}  # fmt: skip


JINJA = "https://jinja.palletsprojects.com/en/stable/templates/#list-of-builtin-filters"


def reference() -> str:
    """Markdown: one table for each kind of mapping."""
    kinds = json_schema()["$defs"]
    lines = [
        "# Every word of a workflow file",
        "",
        "Written by `agentkit schema --markdown`; [workflows.md](workflows.md) explains how they",
        "go together.",
    ]
    for kind in ORDER:
        lines += ["", f"## {TITLES[kind]}", "", *_kind(kinds[kind])]
    lines += ["", "## Filters", "", *_filters()]
    return "\n".join(lines) + "\n"


def _filters() -> Iterator[str]:
    """Ours, from the functions themselves."""
    yield "What stands behind `|` in an expression.  Ours:"
    yield ""
    yield "| filter | what it gives |"
    yield "|---|---|"
    for name, function in OURS.items():
        said = signature(function)
        given = [str(one.replace(annotation=one.empty)) for one in said.parameters.values()][1:]
        call = f"{name}({', '.join(given)})" if given else name
        about = " ".join((getdoc(function) or "").split()).replace("|", "\\|")
        yield f"| `{call}` | {about} |"
    yield ""
    theirs = ", ".join(f"`{name}`" for name in FILTERS)
    yield f"And those of [Jinja]({JINJA}) that compute on plain data: {theirs}."


def _kind(schema: Mapping[str, Any]) -> Iterator[str]:
    about = str(schema.get("description", "")).strip()
    if about:
        yield about
        yield ""
    yield "| key | value | |"
    yield "|---|---|---|"
    required = schema.get("required", ())
    for key, said in schema["properties"].items():
        needed = "**required** " if key in required else ""
        text = " ".join(str(said.get("description", "")).split()).replace("|", "\\|")
        yield f"| `{key}` | {_type(said)} | {needed}{text}{_default(said)} |"


def _type(said: Mapping[str, Any]) -> str:
    if "anyOf" in said:
        return " or ".join(dict.fromkeys(_type(one) for one in said["anyOf"]))
    if "$ref" in said:
        name = str(said["$ref"]).rsplit("/", 1)[1]
        return f"[{TITLES.get(name, name)}](#{_anchor(TITLES.get(name, name))})"
    if "const" in said:
        return f"`{said['const']}`"
    if "enum" in said:
        return ", ".join(f"`{one}`" for one in said["enum"])
    kind = str(said.get("type", "anything"))
    if said.get("pattern") == DURATION["pattern"]:
        return "duration"
    if kind == "array":
        return f"list of {_type(said.get('items', {}))}"
    if kind == "object":
        inner = said.get("additionalProperties")
        return f"mapping to {_type(inner)}" if isinstance(inner, dict) and inner else "mapping"
    bounds = [f"≥ {said['minimum']:g}"] if "minimum" in said else []
    bounds += [f"≤ {said['maximum']:g}"] if "maximum" in said else []
    return f"{kind} {', '.join(bounds)}".strip()


def _anchor(title: str) -> str:
    kept = "".join(one for one in title.lower() if one.isalnum() or one in " -_")
    return kept.replace(" ", "-")


def _default(said: Mapping[str, Any]) -> str:
    value = said.get("default")
    if value in (None, "", [], {}) or isinstance(value, dict | list):
        return ""
    return f" Default: `{str(value).lower() if isinstance(value, bool) else value}`."
