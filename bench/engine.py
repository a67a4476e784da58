"""agentkit's engine beside plain llama-cpp-python: many small JSON questions over one document.

    python -m bench.engine MODEL.gguf [--questions N] [--threads N]

Same file, threads, context and greedy sampling on both sides; each gets the schema in its own way
(ours: llguidance; `llama_cpp.Llama`: its grammar).  The first question, which reads the document,
stands apart from the others, which share it.  `right` counts answers with the right task and date.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentkit import machine
from agentkit.engine import LlamaChatModel
from agentkit.messages import ChatRequest, JsonSchema, Message

CONTEXT = 4096

PEOPLE = ["Anna", "Bruno", "Carla", "David", "Elena", "Farid", "Greta", "Hugo", "Ines", "Jonas"]
TASKS = [
    ("order new computers", "May 2nd"), ("paint the front door", "June 9th"),
    ("write the annual report", "Friday"), ("book the large hall", "next week"),
    ("repair the coffee machine", "Monday"), ("call the insurance", "tomorrow"),
    ("print the invitations", "July 4th"), ("test the backup", "August 1st"),
    ("choose a restaurant", "Thursday"), ("clean the archive", "the end of the year"),
]  # fmt: skip

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "task": {"type": "string", "maxLength": 60},
        "due": {"type": "string", "maxLength": 30},
        "urgent": {"type": "boolean"},
    },
    "required": ["task", "due", "urgent"],
    "additionalProperties": False,
}

Messages = list[dict[str, str]]


@dataclass
class Row:
    """One engine, measured."""

    name: str
    ask: Callable[[Messages], str]
    close: Callable[[], None]
    seconds: list[float] = field(default_factory=list)
    broken: int = 0
    right: int = 0


def main() -> None:
    """Ask both in turn, so that a busy moment hits them alike, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--questions", type=int, default=len(PEOPLE), choices=range(2, 11))
    parser.add_argument("--threads", type=int, default=machine.physical_cores())
    given = parser.parse_args()
    engines = [Row("agentkit", *ours(given.model, given.threads))]
    engines.append(Row("llama_cpp.Llama", *plain(given.model, given.threads)))
    for row in engines:
        row.ask(conversation("warm-up", document=False))
    for person, (task, due) in list(zip(PEOPLE, TASKS, strict=True))[: given.questions]:
        for row in engines:
            measure(row, person, task, due)
        print(f"  {person}: done", flush=True)
    for row in engines:
        row.close()
    show(engines, f"{given.model.name}, {given.questions} questions, {given.threads} threads")


def conversation(person: str, *, document: bool = True) -> Messages:
    """The document, then the question."""
    lines = [
        f"{who} will {what}; it has to be done by {due}. The others agree that {who} is the right "
        f"one for that, and nobody else has to help."
        for who, (what, due) in zip(PEOPLE, TASKS, strict=True)
    ]
    text = "\n".join(lines * 2) if document else "Nothing was said."
    return [
        {"role": "system", "content": f"Answer from these minutes, as JSON.\n\n{text}"},
        {"role": "user", "content": f"What does {person} have to do, and by when?"},
    ]


def ours(path: Path, threads: int) -> tuple[Callable[[Messages], str], Callable[[], None]]:
    """agentkit."""
    model = LlamaChatModel(path, path.name, context_tokens=CONTEXT, threads=threads)

    def ask(messages: Messages) -> str:
        turns = tuple(Message(one["role"], one["content"]) for one in messages)  # type: ignore[arg-type]  # roles are ours
        *_, last = model.stream(ChatRequest(turns, max_tokens=100, constraint=JsonSchema(SCHEMA)))
        assert last.completion is not None
        return last.completion.text

    return ask, model.close


def plain(path: Path, threads: int) -> tuple[Callable[[Messages], str], Callable[[], None]]:
    """llama-cpp-python as its README shows it."""
    from llama_cpp import Llama

    model = Llama(
        str(path), n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False
    )

    def ask(messages: Messages) -> str:
        given: Any = model.create_chat_completion(
            messages=messages,
            max_tokens=100,
            temperature=0,
            response_format={"type": "json_object", "schema": SCHEMA},
        )
        return str(given["choices"][0]["message"]["content"])

    return ask, model.close


def measure(row: Row, person: str, task: str, due: str) -> None:
    """Ask one question, and note how long the answer took and whether it is right."""
    began = time.perf_counter()
    text = row.ask(conversation(person))
    row.seconds.append(time.perf_counter() - began)
    try:
        said = json.loads(text)
    except ValueError:
        row.broken += 1
    else:
        row.right += task in said["task"] and due in said["due"]


def show(rows: list[Row], title: str) -> None:
    """The table, with the first row as the measure of the others."""
    first = rows[0]
    print(f"\n{title}\n")
    print(f"{'':18} first q.   others (median)   total   not JSON    right   total ratio")
    for row in rows:
        print(
            f"{row.name:18} {row.seconds[0]:7.2f}s {statistics.median(row.seconds[1:]):16.2f}s "
            f"{sum(row.seconds):7.2f}s {row.broken:10} {row.right:5}/{len(row.seconds)} "
            f"{sum(row.seconds) / sum(first.seconds):12.2f}"
        )


if __name__ == "__main__":
    main()
