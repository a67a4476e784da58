"""The service is restarted, and an agent that it knows well asks again.

Both sides have answered three questions under the same agent prompt before the restart; the
question after it is a new one.  Each side is a new process, its model loaded, when it is asked.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from agentkit.messages import ChatRequest, Message
from bench.engine import texts
from bench.engine.measure import Bench, Outcome, Row, compare, one_by_one
from bench.engine.sides import Setup, llama_server, ours

TITLE = "first answer after a restart, known 600-token prompt"
CONTEXT, SLOTS = 4 * 1024, 4

QUESTIONS = [
    "Which files lie in /srv/backup/log?",
    "What does line 12 of /etc/backup.conf say?",
    "Find out how full the disks are.",
    "When did the backup of last night end?",
]


def run(bench: Bench) -> list[Row]:
    """Seconds of the first answer after the restart."""
    *before, after = [question(text) for text in QUESTIONS]
    setup = bench.setup(context=CONTEXT, slots=SLOTS)
    mine, server = [], []
    for _ in range(bench.rounds):
        with tempfile.TemporaryDirectory() as folder:
            in_a_process_of_its_own(setup, Path(folder), before)
            mine.append(in_a_process_of_its_own(setup, Path(folder), [after]))
        with llama_server(setup) as side:
            one_by_one(side, before)
        with llama_server(setup) as side:
            server.append(one_by_one(side, [after]))
    return [compare(TITLE, mine, server, limit=0.3)]


def question(text: str) -> ChatRequest:
    """A question to the worker of the trace, who has four of the tools here."""
    turns = (texts.agent_prompt("worker"), Message("user", text))
    return ChatRequest(turns, max_tokens=16, tools=texts.tools()[:4])


def in_a_process_of_its_own(setup: Setup, folder: Path, requests: Sequence[ChatRequest]) -> Outcome:
    """Our engine from its start to its end."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(visit, setup, folder, requests).result()


def visit(setup: Setup, folder: Path, requests: Sequence[ChatRequest]) -> Outcome:
    """Load the model, ask, and close it; prefixes worth keeping go to the folder."""
    with setup.model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with ours(setup, prefix_folder=folder, digest=digest) as side:
        return one_by_one(side, requests)
