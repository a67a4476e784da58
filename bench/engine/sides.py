"""Who is compared: our engine, llama.cpp's own server and llama-cpp-python's `Llama`.

All of them are asked with the same `ChatRequest` and draw greedily; each renders the prompt with
the template of the model file itself.  Only one of them may exist at a time: the threads of two
would fight for the cores.
"""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

from agentkit.engine import LlamaChatModel
from agentkit.messages import ChatRequest, JsonSchema, Message

START_SECONDS = 120
ANSWER_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Setup:
    """What a side is started with.  `context` is in tokens and shared by all `slots`."""

    model: Path
    server: Path
    threads: int
    context: int
    slots: int


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, and when it came: `time.perf_counter()` of the question and of each piece."""

    text: str
    prompt_tokens: int
    cached_tokens: int
    written_tokens: int
    forced_tokens: int
    asked: float
    pieces: tuple[float, ...]
    ended: float

    @property
    def seconds(self) -> float:
        """From the question to the end of the answer."""
        return self.ended - self.asked


Heard = Callable[[int], None]
"""Called with each piece of an answer: how many there are by now."""


def nobody(pieces: int) -> None:
    """For those who wait for the whole answer."""


class Side(Protocol):
    """Something that answers, several threads at the same time."""

    def ask(self, request: ChatRequest, heard: Heard = nobody) -> Reply:
        """Wait for the whole answer."""


Opener = Callable[[Setup], AbstractContextManager[Side]]
"""Starts a side with nothing in its cache; it is stopped at the end of the block."""


# -- agentkit ------------------------------------------------------------------------------------


@contextmanager
def ours(setup: Setup, *, prefix_folder: Path | None = None, digest: str = "") -> Iterator[Side]:
    """agentkit's engine, in this process."""
    model = LlamaChatModel(
        setup.model,
        setup.model.name,
        context_tokens=setup.context,
        threads=setup.threads,
        slots=setup.slots,
        prefix_folder=prefix_folder,
        digest=digest,
    )
    try:
        yield Ours(model)
    finally:
        model.close()


class Ours:
    """A chat model of agentkit."""

    def __init__(self, model: LlamaChatModel) -> None:
        self._model = model

    def ask(self, request: ChatRequest, heard: Heard = nobody) -> Reply:
        """See `Side`."""
        pieces = []
        asked = time.perf_counter()
        for delta in self._model.stream(request):
            if delta.completion is None:
                pieces.append(time.perf_counter())
                heard(len(pieces))
            else:
                done, usage = delta.completion, delta.completion.usage
        return Reply(
            done.text,
            usage.prompt_tokens,
            usage.cached_tokens,
            usage.completion_tokens,
            usage.forced_tokens,
            asked,
            tuple(pieces),
            time.perf_counter(),
        )


# -- llama-server --------------------------------------------------------------------------------


@contextmanager
def llama_server(setup: Setup) -> Iterator[Side]:
    """llama.cpp's server as a process of its own, with its defaults for all that is not given."""
    port = free_port()
    one_each = httpx.Limits(max_keepalive_connections=0)  # it drops connections after a stream
    command = [
        *(str(setup.server), "--model", str(setup.model), "--jinja"),
        *("--threads", str(setup.threads), "--ctx-size", str(setup.context)),
        *("--parallel", str(setup.slots), "--host", "127.0.0.1", "--port", str(port)),
    ]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process,
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=ANSWER_SECONDS, limits=one_each
        ) as client,
    ):
        try:
            wait_until_ready(process, client)
            yield Server(client)
        finally:
            process.terminate()


class Server:
    """A running llama-server."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ask(self, request: ChatRequest, heard: Heard = nobody) -> Reply:
        """See `Side`."""
        body = as_json(request) | {"stream": True, "stream_options": {"include_usage": True}}
        text, pieces = "", []
        usage: dict[str, Any] = {}
        asked = time.perf_counter()
        with self._client.stream("POST", "/v1/chat/completions", json=body) as response:
            if response.is_error:
                raise RuntimeError(f"llama-server: {response.read().decode()}")
            for event in events(response.iter_lines()):
                usage = event.get("usage", usage)
                delta = event["choices"][0]["delta"] if event["choices"] else {}
                if delta.get("content") or delta.get("tool_calls"):
                    pieces.append(time.perf_counter())
                    heard(len(pieces))
                    text += delta.get("content") or ""
        ended = time.perf_counter()
        return Reply(
            text,
            usage["prompt_tokens"],
            usage["prompt_tokens_details"]["cached_tokens"],
            usage["completion_tokens"],
            0,
            asked,
            tuple(pieces),
            ended,
        )


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The JSON values of an event stream."""
    for line in lines:
        if line.startswith("error:"):
            raise RuntimeError(f"llama-server: {line}")
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(process: subprocess.Popen[bytes], client: httpx.Client) -> None:
    """Return when the model is loaded; raises `RuntimeError` if that does not happen."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if client.get("/health").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError("llama-server did not start: run its command by hand to see why")


# -- llama_cpp.Llama -----------------------------------------------------------------------------


@contextmanager
def plain_llama(setup: Setup) -> Iterator[Side]:
    """llama-cpp-python as its README shows it: one sequence, and one request after the other."""
    from llama_cpp import Llama

    llama = Llama(
        str(setup.model),
        n_ctx=setup.context // setup.slots,
        n_threads=setup.threads,
        n_threads_batch=setup.threads,
        verbose=False,
    )
    try:
        yield Plain(llama)
    finally:
        llama.close()


class Plain:
    """A `llama_cpp.Llama`; it does not tell what it found in its cache."""

    def __init__(self, llama: Any) -> None:
        self._llama = llama

    def ask(self, request: ChatRequest, heard: Heard = nobody) -> Reply:
        """See `Side`."""
        asked = time.perf_counter()
        answer = self._llama.create_chat_completion(**as_json(request, parsed_arguments=True))
        ended = time.perf_counter()
        usage = answer["usage"]
        return Reply(
            answer["choices"][0]["message"]["content"] or "",
            usage["prompt_tokens"],
            0,
            usage["completion_tokens"],
            0,
            asked,
            (ended,),
            ended,
        )


# -- one request in OpenAI's words ---------------------------------------------------------------


def as_json(request: ChatRequest, *, parsed_arguments: bool = False) -> dict[str, Any]:
    """A request as servers take it.

    Templates want the arguments of a call as an object; llama-server parses them, `Llama` does not.
    """
    body: dict[str, Any] = {
        "messages": [message_as_json(message, parsed_arguments) for message in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.sampling.temperature,
    }
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in request.tools
        ]
    if isinstance(request.constraint, JsonSchema):
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": request.constraint.schema},
        }
    return body


def message_as_json(message: Message, parsed_arguments: bool) -> dict[str, Any]:
    """One turn."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.loads(call.arguments) if parsed_arguments else call.arguments,
                },
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    return turn
