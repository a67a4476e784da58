"""What the core needs from the outside, as protocols.  Adapters hide one library each behind these.

The contract of each port is tested by one suite in `tests/contract/`, run on every adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, TypeVar

from pydantic import BaseModel

from agentkit.cancel import CancelToken
from agentkit.jobs import Job, JobResult
from agentkit.letters import Letter
from agentkit.messages import ChatRequest, Delta, Message, Score, ToolSchema
from agentkit.permissions import Request, Rule
from agentkit.transcript import Transcript
from agentkit.values import dataclass

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ModelRole = Literal["chat", "embed", "transcribe"]
"""What a model can be for; settings say which one does it."""

Progress = Callable[[float, float | None, str], None]
"""`progress(done, total, unit)`; `total` is None while the end is not known."""


def no_progress(done: float, total: float | None, unit: str) -> None:
    """For callers that do not want to know."""


class Clock(Protocol):
    """What time it is.  May be called from any thread."""

    def now(self) -> datetime:
        """This moment in UTC, as the machine's clock has it: somebody may set that."""

    def steady(self) -> float:
        """Seconds by a clock that nobody sets."""


Heard = Callable[[str], None]
"""Gets a piece of what is said in a recording, with the space that stands before it."""


def nothing_heard(text: str) -> None:
    """For callers that wait for the whole."""


class ChatModel(Protocol):
    """A language model that answers chat requests.  May be called from any thread."""

    @property
    def name(self) -> str:
        """The name under which settings and workflows know it."""

    @property
    def context_tokens(self) -> int:
        """How many tokens prompt and answer may have together."""

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        """Length of the rendered prompt in tokens."""

    def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Iterator[Delta]:
        """Answer a request, piece by piece; the last delta of each sample carries its completion.

        A cancel ends the stream within one batch with a completion that says `cancelled`.
        Raises `PromptTooLong` before anything is computed, `UserError` for a schema or sampling
        parameter that cannot be honoured, `ModelBusy` if too many requests wait already,
        `ModelError` if the model fails.
        """

    def warm(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> None:
        """Read the beginning of prompts to come and keep it; nothing where that cannot be."""

    def close(self) -> None:
        """Give memory back.  Idempotent; the model cannot be used afterwards."""


class Scorer(Protocol):
    """A language model that tells how likely it finds a text.  May be called from any thread."""

    def score(
        self, prompt: Sequence[Message], continuation: str, cancel: CancelToken | None = None
    ) -> Score:
        """The probability of an answer to a conversation, token by token.

        Raises `Cancelled` within one batch, as `read` does.
        """

    def read(self, tokens: Sequence[int], top: int = 0, cancel: CancelToken | None = None) -> Score:
        """The probability of each token of a plain text after the first, and of `top` others."""

    def perplexity(self, text: str) -> float:
        """`exp` of the mean negative log probability of the tokens of a plain text."""


class Tokenizer(Protocol):
    """What a language model makes of a text before it reads it.  May be called from any thread."""

    def tokens(self, text: str, *, alone: bool = True) -> list[int]:
        """Those of a text; its markers are control tokens.  `alone`: it begins a prompt."""

    def infill(self, before: str | Sequence[int], after: str) -> list[int]:
        """Those of a prompt that asks for what is missing between two texts.

        Raises `Unsupported` for a model that was not made for it.
        """

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> list[int]:
        """Those of a conversation, up to where the answer begins."""

    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens, markers included.  Raises `UserError` for what is no token."""


class Embedder(Protocol):
    """Turns texts into vectors.  May be called from any thread."""

    @property
    def name(self) -> str:
        """The name under which settings know the model."""

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""

    def embed(self, texts: Sequence[str], cancel: CancelToken | None = None) -> NDArray[np.float32]:
        """Unit vectors, shape `(len(texts), dimensions)`.

        Raises `PromptTooLong` for a text that the model cannot read as a whole, `Cancelled`
        between two batches.
        """

    def count_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens the texts have together, as they are read."""

    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens of its own vocabulary, without markers.

        Raises `UserError` for what is no token.
        """

    def close(self) -> None:
        """Give memory back.  Idempotent."""


class Transcriber(Protocol):
    """Turns recordings into words with times.  May be called from any thread."""

    @property
    def name(self) -> str:
        """The name under which settings know the model."""

    def transcribe(
        self,
        audio: Path,
        *,
        language: str | None = None,
        progress: Progress = no_progress,
        heard: Heard = nothing_heard,
        cancel: CancelToken | None = None,
    ) -> Transcript:
        """Write down what is said in a file.

        `language` is an ISO 639-1 code, None means: detect it.  Progress counts seconds of audio.
        `heard` gets the text piece by piece, as soon as each is certain; together they are all.
        A recording without speech gives a transcript without segments, not an error.
        Raises `BadAudio` for a file that cannot be decoded, `UserError` for a language that the
        model does not know, `Cancelled` within one window of audio.
        """

    def close(self) -> None:
        """Give memory back.  Idempotent."""


class Sandbox(Protocol):
    """Runs programs where they can harm nothing.  May be called from any thread."""

    def run(self, job: Job, cancel: CancelToken | None = None) -> JobResult:
        """Run a program to its end, or to the limit that it hits.

        No exit code raises; neither does a limit or a cancel, which `JobResult.stopped` tells.
        Raises `MachineError` with the way out where programs cannot be kept apart, `ToolError` for
        a program that does not exist.
        """


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to another machine.  Bytes and seconds; `timeout` is for the whole exchange."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    timeout: float = 30.0
    max_bytes: int = 10_000_000
    max_redirects: int = 5


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back: `body` as it is after decompression, whole and never larger than allowed.

    `url` is where the last redirect led; header names are in lower case.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class Http(Protocol):
    """Talks to other machines, within what is granted.  May be called from any thread."""

    def fetch(self, request: HttpRequest, cancel: CancelToken | None = None) -> HttpResponse:
        """Send a request and follow redirects; any status is an answer.

        Each name is looked up first, and the connection goes to the address that was checked:
        private, loopback and link-local ones are refused unless their host is granted, also
        behind a redirect.  Raises `ToolRetry` for an address that is not well formed,
        `ToolError` for what is refused, too large, too slow, or cannot be reached.
        """


Scalar = str | int | float | bool
"""A value of metadata."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that has to hold of an entry of memory: `Condition("year", ">=", 2024)`.

    `key` is one of its metadata, or `id`, `source`, `time` (ISO 8601, such as `2026-11-27`).  `~`
    compares with a pattern such as `notes/*.md`.  An entry without the key fits no condition but
    `!=`.
    """

    key: str
    operator: Literal["=", "!=", "<", "<=", ">", ">=", "~"]
    value: Scalar


@dataclass(frozen=True, slots=True)
class Recollection:
    """An entry of memory; `score` is its nearness to what was asked: 0 to 1, 1 is the same text."""

    id: str
    text: str
    source: str
    score: float
    time: datetime | None = None
    metadata: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(slots=True)
class Taken:
    """What came of taking files in: paths, and for those refused the reason."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    skipped: int = 0
    """Files in folders that are of no kind that is read."""
    passages: int = 0


@dataclass(slots=True)
class Imported:
    """What came of an import: entries."""

    added: int = 0
    known: int = 0
    """Those that were here already."""
    seen: int = 0


class Memory(Protocol):
    """Texts that can be found again by their meaning and their words: one collection of them.

    May be called from any thread.
    """

    def search(
        self, query: str, *, limit: int = 5, where: Sequence[Condition] = ()
    ) -> list[Recollection]:
        """The entries of which all conditions hold and that fit the query, best first."""

    def save(self, text: str, *, source: str, metadata: Mapping[str, Scalar] | None = None) -> str:
        """Keep a text and return the id of its entry: of an old one, if that says the same.

        Raises `UserError` for a text that is empty or too long for a note.
        """

    def forget(self, where: Sequence[Condition]) -> int:
        """Forget the entries of which all conditions hold, and say how many; none forgets none."""


class ToolServer(Protocol):
    """Another program that offers tools.  May be called from any thread."""

    @property
    def name(self) -> str:
        """The name under which settings know it."""

    def tools(self) -> tuple[ToolSchema, ...]:
        """What it offers; connects when first asked.

        Raises `MachineError` for a server that cannot be started or reached, or says nothing in
        time.
        """

    @property
    def refused(self) -> Mapping[str, str]:
        """What it listed last and cannot be offered: names, each with the rest of a sentence."""

    def call(self, tool: str, arguments: Mapping[str, Any], cancel: CancelToken | None) -> Any:
        """Call a tool and return what it gave: data where it gave data, text otherwise.

        Raises `ToolError` for what the server calls an error, for one that dies or takes too long
        (and the next call starts it anew), `Cancelled`.
        """

    def close(self) -> None:
        """End it.  Idempotent."""


class Desk(Protocol):
    """Where questions to a person are on record until they are answered, and afterwards."""

    def file(self, request: Request) -> Request:
        """Put a question on record.

        Returns the one that is there already, if the same run asked the same and the answer was
        not used yet: maybe it has an answer by now.
        """

    def answer(self, request: str, answer: str) -> None:
        """Write down what a person said.

        Raises `UserError` for a question that was answered, `UnknownName` for one that is none.
        """

    def use(self, request: str) -> None:
        """The answer was acted upon: it does not count a second time.

        Raises `UserError` for one that was acted upon already, `UnknownName` as `answer` does.
        """

    def rules(self) -> list[Rule]:
        """The answers that are remembered; the newest first."""

    def remember(self, rules: Sequence[Rule]) -> None:
        """Remember answers; a newer one about the same thing replaces the older."""


class Mailbox(Protocol):
    """What people say to runs that are under way.  May be called from any thread."""

    def take(self, run: str, *kinds: str) -> Iterable[Letter]:
        """The letters to a run that nobody took yet, oldest first; of these kinds, if any.

        Each is taken when the next one is asked for: a process that dies over one loses none.
        """


class Work(Protocol):
    """A piece of work that another machine does."""

    def told(self) -> Iterator[Any]:
        """What it tells while it is done, until it is over.

        A cancel is passed on, and the work ends in its own way; raises `Cancelled` if it does not
        end, `WorkerLost` if its machine went away.
        """

    @property
    def value(self) -> Any:
        """What came of it.  Raises what it raised, and what `told` raises."""

    def fetch(self, name: str, sha256: str, size: int, into: BinaryIO) -> None:
        """A file that it left, by its name in its folder.

        Raises `MachineError` for one that arrives as another, `WorkerLost`, `Cancelled`.
        """


class Worker(Protocol):
    """Another machine, while one step is done there.  May be used from any thread."""

    @property
    def machine(self) -> str:
        """What it is called."""

    def send(self, files: Mapping[str, Path], cancel: CancelToken) -> None:
        """Files by their SHA-256; what is there already does not travel.

        Raises `MachineError` for what cannot be kept there, `WorkerLost`, `Cancelled`.
        """

    def work(self, order: Any, cancel: CancelToken) -> AbstractContextManager[Work]:
        """Begin a piece of work; at the end of the block it is stopped and forgotten.

        What an order means is agreed between both ends.
        """


class Workers(Protocol):
    """Machines that do the steps of some queues.  May be used from any thread."""

    def taken(
        self, queue: str, warn: Callable[[str], None], cancel: CancelToken
    ) -> AbstractContextManager[Worker]:
        """A machine with what a step of the queue takes, as soon as one has it free.

        While there is none, `warn` is told why, once.  Raises `MachineError` for a cluster that
        cannot be reached or is of another version, `Cancelled`.
        """

    def close(self) -> None:
        """Leave them; they stay.  Idempotent."""


class Files(Protocol):
    """The files that a call may touch.

    Relative paths are in the folder of the run.  What is granted is checked on the file that was
    opened, so that a link that changes in between leads nowhere.
    """

    def locate(self, path: Path | str) -> Path:
        """The full path with links resolved.  Raises `ToolError` if reading is not granted."""

    def read(self, path: Path | str, *, limit: int = 50_000_000) -> bytes:
        """A whole file.

        Raises `ToolRetry` where there is none (with the nearest names), `ToolError` for one that
        is larger than `limit`, no plain file, or not granted.
        """

    def write(self, path: Path | str, content: bytes) -> Path:
        """Write a file as a whole or not at all, and return its full path.

        Missing folders are made.  A file in the folder of the run is recorded as an artifact.
        Raises `ToolError` if writing is not granted or fails.
        """

    def rename(self, path: Path | str, name: Path | str) -> Path:
        """Give a file another path, where nothing is yet, and return it in full.

        Missing folders are made.  Raises `ToolRetry` where there is no such file or the new path
        is taken, `ToolError` for what is no plain file, is not granted, or fails.
        """


Options = TypeVar("Options", bound=BaseModel)


class ToolContext(Protocol):
    """What a tool may reach: handed in by the runtime, never imported by the tool."""

    @property
    def folder(self) -> Path:
        """The run's own folder; files written here are its artifacts."""

    @property
    def outputs(self) -> Path:
        """Where results of the run lie that were too long for a model to be shown whole."""

    @property
    def files(self) -> Files:
        """Files, within what is granted."""

    @property
    def sandbox(self) -> Sandbox:
        """For programs that somebody else wrote: a model, most of the time."""

    @property
    def http(self) -> Http:
        """Other machines, within what is granted."""

    @property
    def memory(self) -> Memory:
        """The vector memory.  Raises `ToolError` where there is none."""

    @property
    def transcriber(self) -> Transcriber:
        """The model of the role `transcribe`, loaded when first asked for."""

    @property
    def cancel(self) -> CancelToken:
        """To be checked between pieces of long work."""

    def options(self, model: type[Options]) -> Options:
        """What settings say about this tool (`tools.options.NAME`), checked.

        Raises `UserError` with the key for options that do not fit the model.
        """

    def ask(self, question: str, choices: Sequence[str] = ()) -> str:
        """Ask the person; raises `ApprovalNeeded` where nobody is there to answer."""

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """Say how far the work is."""

    def warn(self, text: str) -> None:
        """Note something that a reader of the result should know."""

    def artifact(self, path: Path) -> None:
        """Record a file in `folder` as a result of the run."""
