"""The cases of `tests/data/tool_calling`, and a vocabulary of characters to run them with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML

from agentkit.engine.vocabulary import Vocabulary
from agentkit.messages import Message, Role, ToolCall, ToolSchema

DATA = Path(__file__).parent.parent / "data" / "tool_calling"

ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


class Letters:
    """A vocabulary of characters; those of scaffolding get negative ids, markers large ones."""

    bos, eos = 1, 2
    adds_bos = False

    def __init__(self, bos: str = "<s>", eos: str = "</s>", markers: Sequence[str] = ()) -> None:
        self._special = {1: bos, 2: eos}
        self._markers = {text: 2_000_000 + number for number, text in enumerate(markers)}

    def text(self, token: int) -> str:
        return self._special.get(token, "")

    def tokenize(self, text: str, *, special: bool, after: Sequence[int] = ()) -> list[int]:
        return [-3 - ord(letter) if special else 3 + ord(letter) for letter in text]

    def marker(self, text: str) -> int | None:
        return self._markers.get(text)

    def piece(self, token: int) -> bytes:
        """Nothing: the markers are control tokens, but for Qwen's, which are user-defined."""
        text = next(text for text, marker in self._markers.items() if marker == token)
        return text.encode() if text.startswith("<") and not text.startswith("<|") else b""


def letters(**options: Any) -> Vocabulary:
    """`Letters`, as far as templates and dialects can tell a vocabulary."""
    return cast(Vocabulary, Letters(**options))


def read(tokens: Sequence[int]) -> str:
    """The text of a prompt."""
    return "".join(chr(abs(token) - 3) for token in tokens)


def content(tokens: Sequence[int]) -> str:
    """What of a prompt was tokenised as content."""
    return "".join(chr(token - 3) for token in tokens if token > 0)


def template(name: str | None) -> str | None:
    """A chat template by its file name."""
    return (DATA / "templates" / name).read_text(encoding="utf-8") if name else None


def cases(kind: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, head of the file, and case, for each case of a kind."""
    for path in sorted((DATA / kind).glob("*.yaml")):
        file = _load(path)
        for case in file["cases"]:
            yield f"{path.stem}: {case['case']}", file, case


def tools(names: Sequence[str]) -> tuple[ToolSchema, ...]:
    """Tools of `tools.yaml`."""
    return tuple(ToolSchema(**_TOOLS[name]) for name in names)


def message(turn: dict[str, Any]) -> Message:
    """A turn as the files write it."""
    role = next(role for role in ROLES if role in turn)
    calls = (
        ToolCall(call["id"], call["name"], call["arguments"]) for call in turn.get("calls", ())
    )
    return Message(role, turn[role], turn.get("reasoning", ""), tuple(calls), turn.get("of", ""))


def _load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


_TOOLS = {tool["name"]: tool for tool in _load(DATA / "tools.yaml")}
