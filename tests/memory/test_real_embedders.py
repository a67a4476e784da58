"""What only a real embedder can show: what counts as one task, and a memory whose embedder is a
GGUF file in llama.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentkit import machine
from agentkit.agent.memory import by_meaning
from agentkit.embedding import SentenceTransformersEmbedder
from agentkit.engine.embed import LlamaEmbedder
from agentkit.memory import Embedding

from .conftest import Opened

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def minilm(model_path: Callable[[str], Path]) -> Iterator[SentenceTransformersEmbedder]:
    folder = model_path("all-minilm-l6-v2")
    embedder = SentenceTransformersEmbedder(folder, "minilm", threads=machine.physical_cores())
    yield embedder
    embedder.close()


def test_two_paraphrases_are_one_task_and_two_tasks_are_two(
    minilm: SentenceTransformersEmbedder,
) -> None:
    same = by_meaning(lambda: minilm)
    listing, counting = "List the files in the folder notes", "Count the rows of sales.csv"
    known = [counting, listing]

    assert same("List all the files in the notes folder", known) == listing
    assert same("Count the rows in sales.csv.", known) == counting
    assert same("Write a summary of the meeting into minutes.md", known) is None
    assert same("Delete the files in the folder archive", known) is None


def test_a_collection_of_a_gguf_embedder_finds_by_meaning(
    opened: Opened, minilm_gguf: Path
) -> None:
    embedder = LlamaEmbedder(
        minilm_gguf, "gguf", threads=machine.physical_cores(), context_tokens=256
    )
    embedding = Embedding(embedder, "digest of the file")
    try:
        kept = opened("notes", embedding)
        kept.save("The cat sat on the mat.", source="a")
        kept.save("Interest rates were raised by a quarter of a point.", source="b")

        again = opened("notes", embedding)
        assert [one.source for one in again.search("a kitten rested on a rug")] == ["a", "b"]
        assert [one.source for one in again.search("central bank decision", limit=1)] == ["b"]
    finally:
        embedder.close()
