"""Search in a large memory beside plain chromadb: how long, how much memory, how much disk.

    python -m bench.memory [--entries 100000] [--folder KEPT]

Fills a collection, and a collection of chromadb with the same texts, vectors and metadata; then a
new process for each of the two asks fifty questions: without a filter, and with filters that half
of the entries fit, fewer and fewer, and none, by one key and by two.  Times are whole: the question
is embedded by the real model (all-minilm-l6-v2) each time.  A second start with the same folder
does not fill again.

On 2 cores with nothing beside it, under `chrt -r 10`, a search takes 23 to 48 ms at the median, and
54 where a twentieth fit; the question alone is 14 to 17 of that (docs/decisions/0007-memory.md).
To fill our side takes 5 minutes.

The texts are made up: English words, as frequent as words are (Zipf's law).  The vectors of entries
are random and of length one; for an index that is harder than real ones, which lie in heaps.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentkit.cancel import CancelToken
from agentkit.config import Settings
from agentkit.embedding import SentenceTransformersEmbedder
from agentkit.memory import Collection, Embedding, Entry, ledger, spaces
from agentkit.ports import Condition
from agentkit.runtime import Runtime

MODEL = "all-minilm-l6-v2"
DIMENSIONS = 384
SEED = 7
AT_ONCE = 2_000
"""Entries of one transaction, and of one call of chromadb."""

QUESTIONS = 50
LIMIT = 5

FILTERS: dict[str, list[Condition]] = {
    "no filter": [],
    "half fit": [Condition("tenth", "<", 5)],
    "half fit, two keys": [Condition("tenth", "<", 7), Condition("k", ">=", 285)],
    "a tenth fit": [Condition("tenth", "=", 3)],
    "a twentieth fit": [Condition("k", "<", 50)],
    "a fiftieth fit": [Condition("k", "<", 20)],
    "a thousandth fit": [Condition("k", "=", 333)],
    "a thousandth fit, two keys": [Condition("tenth", "<", 5), Condition("k", "=", 333)],
    "none fit": [Condition("k", "=", 1000)],
}

IN_CHROMADB = {"=": "$eq", "<": "$lt", ">=": "$gte"}

Array = NDArray[np.float32]


# -- what is remembered and asked ------------------------------------------------------------------


def batches(entries: int) -> Iterator[tuple[range, list[str], Array]]:
    """Numbers, texts and vectors; the same in each process."""
    random = np.random.default_rng(SEED)
    for numbers in (range(at, min(at + AT_ONCE, entries)) for at in range(0, entries, AT_ONCE)):
        vectors = random.standard_normal((len(numbers), DIMENSIONS), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        yield numbers, [sentence(random, 30) for _ in numbers], vectors


def sentence(random: np.random.Generator, length: int) -> str:
    """Words, the n-th of the vocabulary 1/n times as frequent as the first."""
    words, heaped = vocabulary()
    return " ".join(words[at] for at in np.searchsorted(heaped, random.random(length)))


@cache
def vocabulary() -> tuple[list[str], NDArray[np.float64]]:
    """What the model knows as whole words, frequent ones first, and their summed frequencies."""
    tokens = json.loads((model() / "tokenizer.json").read_bytes())["model"]["vocab"]
    words = [word for word in sorted(tokens, key=tokens.get) if word.isalpha() and len(word) > 1]
    shares = np.cumsum(1 / np.arange(1, len(words) + 1))
    return words, shares / shares[-1]


def model() -> Path:
    """The folder of the embedder."""
    return Runtime(Settings.load()).store.resolve(MODEL)


def questions() -> list[str]:
    """Of eight words each, and as different as they are many."""
    random = np.random.default_rng(SEED + 1)
    return [sentence(random, 8) for _ in range(QUESTIONS)]


def metadata(number: int) -> dict[str, int]:
    """What the filters ask about: ten groups, and a thousand."""
    return {"tenth": number % 10, "k": number % 1000}


class Asked:
    """The real embedder for questions; what is filled in brings vectors of its dimensions."""

    name = MODEL
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        self._real = SentenceTransformersEmbedder(model(), MODEL)

    def embed(self, texts: Sequence[str], cancel: CancelToken | None = None) -> Array:
        """See `ports.Embedder.embed`."""
        return self._real.embed(texts, cancel)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """See `ports.Embedder.count_tokens`."""
        return self._real.count_tokens(texts)

    def text(self, tokens: Sequence[int]) -> str:
        """See `ports.Embedder.text`."""
        return self._real.text(tokens)

    def close(self) -> None:
        """See `ports.Embedder.close`."""
        self._real.close()


def collection(folder: Path) -> Collection:
    """Ours, as the runtime opens it."""
    embedding = Embedding(Asked(), "made up")
    return Collection(folder / "ours", "bench", lambda: embedding, notice=print)


def plain(folder: Path) -> Any:
    """chromadb as its first page shows it, for vectors that are compared by their angle."""
    import chromadb
    from chromadb.config import Settings as ChromaSettings

    client = chromadb.PersistentClient(
        str(folder / "chromadb"), ChromaSettings(anonymized_telemetry=False)
    )
    return client.get_or_create_collection(
        "bench", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
    )


# -- parts: each in a process of its own -----------------------------------------------------------


def fill_ours(folder: Path, entries: int) -> dict[str, float]:
    """In transactions of many entries, then the index, as an import does it."""
    kept = collection(folder)
    began, now = time.perf_counter(), datetime.now(UTC)
    for numbers, texts, vectors in batches(entries):
        with kept.database.write() as connection:
            space = kept.writable(connection, DIMENSIONS)
            for number, text, vector in zip(numbers, texts, vectors, strict=True):
                entry = Entry(ledger.new_id(), text, f"s{number}", now, metadata(number))
                spaces.put(connection, space.id, ledger.add(connection, entry), vector[np.newaxis])
    texts_done = time.perf_counter()
    kept.tend()
    status = kept.status()
    kept.close()
    assert status.entries == entries, status
    return {
        "texts, words, vectors (s)": texts_done - began,
        "index (s)": time.perf_counter() - texts_done,
        "disk (MB)": status.bytes / 1e6,
    }


def fill_chromadb(folder: Path, entries: int) -> dict[str, float]:
    """The same with the library alone."""
    began, chroma = time.perf_counter(), plain(folder)
    for numbers, texts, vectors in batches(entries):
        chroma.add(
            ids=[str(number) for number in numbers],
            embeddings=vectors,
            documents=texts,
            metadatas=[metadata(number) for number in numbers],
        )
    seconds = time.perf_counter() - began
    files = [file for file in (folder / "chromadb").rglob("*") if file.is_file()]
    return {"all (s)": seconds, "disk (MB)": sum(file.stat().st_size for file in files) / 1e6}


def search_ours(folder: Path, entries: int) -> dict[str, float]:
    """By meaning and by words."""
    kept = collection(folder)

    def ask(question: str, where: Sequence[Condition]) -> int:
        return len(kept.search(question, limit=LIMIT, where=where))

    return measured(ask, kept.embedding.embedder.embed)


def search_chromadb(folder: Path, entries: int) -> dict[str, float]:
    """By meaning: the library in a folder has no search by words."""
    chroma, embedder = plain(folder), Asked()

    def ask(question: str, where: Sequence[Condition]) -> int:
        tests = [{one.key: {IN_CHROMADB[one.operator]: one.value}} for one in where]
        found = chroma.query(
            query_embeddings=embedder.embed([question]),
            n_results=LIMIT,
            where={"$and": tests} if len(tests) > 1 else next(iter(tests), None),
        )
        return len(found["ids"][0])

    return measured(ask, embedder.embed)


def measured(ask: Callable[..., int], embed: Callable[[Sequence[str]], Array]) -> dict[str, float]:
    """Milliseconds of all questions, after a first one that opens everything."""
    asked = questions()
    began = time.perf_counter()
    assert ask("the first question", []) == LIMIT
    figures = {"the first (ms)": 1000 * (time.perf_counter() - began)}
    ways: dict[str, Callable[[str], Any]] = {"the question alone": lambda one: embed([one])}
    ways |= {name: partial(ask, where=where) for name, where in FILTERS.items()}
    for name, way in ways.items():
        way(asked[0])
        times = [clocked(way, one) for one in asked]
        figures[f"{name}: median (ms)"] = statistics.median(times)
        figures[f"{name}: 95 of 100 (ms)"] = statistics.quantiles(times, n=20)[-1]
    figures["memory (MB)"] = resident() / 1e6
    return figures


def clocked(way: Callable[[str], Any], question: str) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    way(question)
    return 1000 * (time.perf_counter() - began)


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


PARTS = {"ours": (fill_ours, search_ours), "chromadb": (fill_chromadb, search_chromadb)}


# -- all of it -------------------------------------------------------------------------------------


def main() -> None:
    """Fill, search, and print both sides beside each other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="kept; otherwise all is deleted at the end")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        side, step = options.part
        figures = PARTS[side][int(step)](options.folder, options.entries)
        (options.folder / f"{side}-{step}.json").write_text(json.dumps(figures))
        return
    with tempfile.TemporaryDirectory() as passing:
        folder = options.folder or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        sides = {side: both(side, folder, options.entries) for side in PARTS}
    print(f"{options.entries} entries, {os.cpu_count()} cores, {platform.machine()}")
    names = dict.fromkeys(itertools.chain.from_iterable(sides.values()))
    print(f"{'':40}" + "".join(f"{side:>12}" for side in sides))
    for name in names:
        row = (f"{one[name]:12.1f}" if name in one else f"{'':12}" for one in sides.values())
        print(f"{name:40}" + "".join(row))


def both(side: str, folder: Path, entries: int) -> dict[str, float]:
    """Fill one side, unless that was done before, and search it, each in a new process."""
    figures: dict[str, float] = {}
    for step in ("0", "1"):
        told = folder / f"{side}-{step}.json"
        if step == "1" or not told.exists():
            subprocess.run(
                [sys.executable, "-m", "bench.memory", "--part", side, step,
                 "--folder", str(folder), "--entries", str(entries)],
                check=True,
            )  # fmt: skip
        figures |= json.loads(told.read_text())
    return figures


if __name__ == "__main__":
    main()
