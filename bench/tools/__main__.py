"""The right tool, the right arguments, and restraint: python -m bench.tools

The same requests in three ways:

    grammar     tools offered, the model chooses; calls are bound to the schemas while decoding
    free        the same prompt with nothing masked: what the model writes by itself is read
    asked       two small questions: first which tool, if any, then a call of that one
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from unittest.mock import patch

from agentkit import machine
from agentkit.cancel import CancelToken
from agentkit.engine import LlamaChatModel
from agentkit.messages import (
    ChatRequest,
    Choices,
    Completion,
    Message,
    OneTool,
    ToolCall,
    ToolSchema,
)
from agentkit.outcomes import Returned
from agentkit.ports import ChatModel
from agentkit.runtime import Runtime
from agentkit.toolbox.output import as_text
from bench.tools.requests import Request, arguments_fit, requests, result_fits, write_files

OFFERED = (
    "read_file write_file edit_file list_files search_files run_python run_shell calculate now "
    "fetch_url http_request web_search transcribe memory_search memory_save notify ask_user "
    "read_more"
).split()

SYSTEM = Message(
    "system",
    "You help a person at a computer. Call a tool where one is needed; where you know the answer "
    "yourself, just answer in a sentence.",
)
MAX_TOKENS = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one request."""

    request: Request
    calls: tuple[ToolCall, ...]
    tool: bool
    arguments: bool
    seconds: float

    @property
    def right(self) -> bool:
        """Everything about it is as it should be."""
        return self.tool and self.arguments


Ask = Callable[[ChatModel, str, Sequence[ToolSchema]], tuple[ToolCall, ...]]


def main() -> None:
    """Play all requests in each of the ways, and print a table."""
    options = argparse.ArgumentParser(prog="python -m bench.tools", description=__doc__)
    options.add_argument("--model")
    options.add_argument("--only", default="grammar,free,asked")
    options.add_argument("--json", type=Path, help="write every verdict to this file")
    options.add_argument("-v", "--verbose", action="store_true", help="print each request")
    chosen = options.parse_args()
    print(f"{machine.cpu_name()}, {machine.physical_cores()} cores")
    rows: dict[str, list[Verdict]] = {}
    with Runtime() as runtime:
        model = runtime.chat(chosen.model)
        tools = [runtime.toolbox[name].schema for name in OFFERED]
        size = model.count_tokens((SYSTEM,), tools)
        print(f"{model.name}, {len(tools)} tools, {size} tokens before the question\n")
        for way in chosen.only.split(","):
            with WAYS[way]() as ask:
                rows[way] = []
                for verdict in play(runtime, model, tools, ask):
                    rows[way].append(verdict)
                    if chosen.verbose:
                        print(line(verdict), flush=True)
            print(row(way, rows[way]))
    if chosen.json:
        chosen.json.write_text(json.dumps(plain(rows), indent=1))


def play(
    runtime: Runtime, model: ChatModel, tools: Sequence[ToolSchema], ask: Ask
) -> Iterator[Verdict]:
    """Ask everything once; calls are made for real only where the result is looked at."""
    ask(model, "Hello.", tools)  # the tools are read before the clock starts
    for request in requests():
        began = time.perf_counter()
        calls = ask(model, request.ask, tools)
        seconds = time.perf_counter() - began
        if not request.tools:
            yield Verdict(request, calls, not calls, True, seconds)
            continue
        tool = len(calls) >= 1 and calls[0].name in request.tools
        fits = tool and arguments_fit(request, calls[0])
        if fits and request.result:
            fits = result_fits(request, really(runtime, calls[0]))
        yield Verdict(request, calls, tool, fits, seconds)


def really(runtime: Runtime, call: ToolCall) -> str:
    """Make a call in a folder with the files, and return its result as text."""
    caller = runtime.caller("bench")
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        caller = type(caller)(
            caller.tools, caller.grants, caller.approvals, caller.services, Path(folder)
        )
        outcome = caller.call(call.name, call.arguments, Silent(), CancelToken())
    return as_text(outcome.value) if isinstance(outcome, Returned) else ""


class Silent:
    """A report that nobody reads."""

    def called(self, call: str, tool: str, arguments: object) -> None:
        """Nothing."""

    def returned(self, call: str, tool: str, status: str, size: int, outcome: object) -> None:
        """Nothing."""

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """Nothing."""

    def warned(self, text: str) -> None:
        """Nothing."""

    def artifact(self, path: Path, folder: Path) -> None:
        """Nothing."""


# -- the ways --------------------------------------------------------------------------------------


def offered(model: ChatModel, text: str, tools: Sequence[ToolSchema]) -> tuple[ToolCall, ...]:
    """One question, all tools."""
    question = (SYSTEM, Message("user", text))
    request = ChatRequest(question, MAX_TOKENS, tools=tuple(tools), parallel_tool_calls=False)
    return complete(model, request).tool_calls


def asked(model: ChatModel, text: str, tools: Sequence[ToolSchema]) -> tuple[ToolCall, ...]:
    """Which tool, if any; then a call of that one."""
    names = tuple(tool.name for tool in tools)
    which = f"{text}\n\nWhich tool does this need? Answer with its name, or with: none"
    question = (SYSTEM, Message("user", which))
    first = ChatRequest(
        question, 16, tools=tuple(tools), tool_choice="none", constraint=Choices((*names, "none"))
    )
    name = complete(model, first).text
    if name == "none":
        return ()
    question = (SYSTEM, Message("user", text))
    call = ChatRequest(question, MAX_TOKENS, tools=tuple(tools), tool_choice=OneTool(name))
    return complete(model, call).tool_calls


@contextmanager
def grammar() -> Iterator[Ask]:
    """As agentkit does it."""
    yield offered


@contextmanager
def free() -> Iterator[Ask]:
    """Without any mask."""
    with patch.object(LlamaChatModel, "_matcher", lambda *_: None):
        yield offered


@contextmanager
def small_questions() -> Iterator[Ask]:
    """In two steps."""
    yield asked


WAYS = {"grammar": grammar, "free": free, "asked": small_questions}


def complete(model: ChatModel, request: ChatRequest) -> Completion:
    """The whole answer."""
    *_, last = model.stream(request)
    assert last.completion is not None
    return last.completion


# -- what is printed -------------------------------------------------------------------------------


def line(verdict: Verdict) -> str:
    """What became of one request."""
    called = ", ".join(f"{call.name}({call.arguments})" for call in verdict.calls) or "no call"
    mark = "✓" if verdict.right else "✗"
    return f"  {mark} {verdict.seconds:5.1f} s  {verdict.request.ask[:60]:<60}  {called[:120]}"


def row(way: str, verdicts: Sequence[Verdict]) -> str:
    """One line of the table."""
    needing = [v for v in verdicts if v.request.tools]
    without = [v for v in verdicts if not v.request.tools]
    return (
        f"{way:<8} right tool {share(v.tool for v in needing)}   "
        f"and right arguments {share(v.right for v in needing)}   "
        f"restraint {share(v.tool for v in without)}   all {share(v.right for v in verdicts)}   "
        f"{median(v.seconds for v in needing):.1f} s a call"
    )


def share(found: Iterator[bool]) -> str:
    """`41/52 = 79 %`."""
    listed = list(found)
    return f"{sum(listed)}/{len(listed)} = {sum(listed) / len(listed):.0%}"


def plain(rows: dict[str, list[Verdict]]) -> dict[str, list[dict[str, object]]]:
    """Every verdict as data."""
    return {
        way: [
            {
                "ask": v.request.ask,
                "calls": [[call.name, call.arguments] for call in v.calls],
                "tool": v.tool,
                "arguments": v.arguments,
                "seconds": round(v.seconds, 2),
            }
            for v in verdicts
        ]
        for way, verdicts in rows.items()
    }


if __name__ == "__main__":
    main()
