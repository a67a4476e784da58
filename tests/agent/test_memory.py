"""What earlier runs have to say, and what is left for later ones; without a memory all goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentkit.agent.memory import LONG, NEAR, Recall, by_meaning
from agentkit.errors import MachineError, ModelMissing, ToolError, UserError
from agentkit.ports import Memory, Recollection
from agentkit.testing import ScriptedMemory


@dataclass
class Scored(ScriptedMemory):
    """Finds what a test wrote, with its score."""

    found: Sequence[Recollection] = ()
    limits: list[int] = field(default_factory=list)

    def search(self, query: str, *, limit: int = 5, where: Any = ()) -> list[Recollection]:
        self.limits.append(limit)
        return list(self.found)[:limit]


def recall(memory: Memory, warnings: list[str] | None = None) -> Recall:
    told: list[str] = [] if warnings is None else warnings
    return Recall(lambda: memory, "run run-1", told.append)


def entry(text: str, score: float, source: str = "") -> Recollection:
    return Recollection("1", text, source, score)


def test_only_what_is_near_is_told_with_where_it_comes_from() -> None:
    found = [entry("Near\nit is.", NEAR, "run 7"), entry("Far it is.", NEAR - 0.01, "run 8")]

    said = recall(Scored(found=found)).about("a task")

    assert said == "What memory says (it may be old):\n- Near it is. (from run 7)"


@pytest.mark.parametrize("found", [[], [entry("Far it is.", 0.1)]])
def test_where_nothing_is_known_nothing_is_said(found: list[Recollection]) -> None:
    assert recall(Scored(found=found)).about("a task") == ""


def test_of_much_that_is_known_little_is_told() -> None:
    memory = Scored(found=[entry(f"{n} " + "x" * 5000, 0.9) for n in range(9)])

    said = recall(memory).about("a task")

    assert len(said.splitlines()) == 1 + memory.limits[0] <= 6
    assert all(len(line) <= LONG + 20 for line in said.splitlines())


def test_a_lesson_is_kept_with_the_run_that_learned_it_and_found_again() -> None:
    memory = ScriptedMemory()
    recall(memory).keep("Read the whole file first.", "Count the rows of a.csv")

    (kept,) = memory.entries.values()
    assert kept.source == "run run-1"
    assert kept.metadata["kind"] == "lesson"
    assert "Read the whole file first." in recall(memory).about("Count the rows of a.csv")


@pytest.mark.parametrize("error", [MachineError("no disk"), ToolError("no"), UserError("off")])
def test_without_a_memory_there_is_one_warning_and_nothing_goes_wrong(error: Exception) -> None:
    asked, warnings = list[int](), list[str]()

    def memory() -> Memory:
        asked.append(1)
        raise error

    past = Recall(memory, "run run-1", warnings.append)
    assert [past.about("a"), past.about("b")] == ["", ""]
    past.keep("Look first.", "a")

    assert warnings == [f"without memory: {error}"]
    assert asked == [1]


def test_a_mistake_of_ours_is_no_lack_of_memory() -> None:
    def memory() -> Memory:
        raise KeyError("x")

    with pytest.raises(KeyError):
        Recall(memory, "run run-1", list[str]().append).about("a")


# -- the same task in other words ------------------------------------------------------------------


@dataclass
class Compass:
    """An embedder with a direction for each text."""

    directions: dict[str, float]
    name: str = "compass"
    dimensions: int = 2

    def embed(self, texts: Sequence[str], cancel: Any = None) -> NDArray[np.float32]:
        angles = np.radians([self.directions[text] for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def count_tokens(self, texts: Sequence[str]) -> int:
        return len(texts)

    def text(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode()

    def close(self) -> None:
        """Nothing is held."""


COMPASS = Compass({"count": 0, "how many": 20, "colours": 80, "number": 5})


@pytest.mark.parametrize(
    ("text", "others", "same"),
    [
        ("how many", ["colours", "count"], "count"),
        ("how many", ["count", "number"], "number"),
        ("colours", ["count", "number"], None),
        ("colours", [], None),
    ],
)
def test_the_nearest_task_is_the_same_if_it_is_near_enough(
    text: str, others: list[str], same: str | None
) -> None:
    assert by_meaning(lambda: COMPASS)(text, others) == same


@pytest.mark.parametrize("error", [ModelMissing("minilm"), UserError("no"), MachineError("no")])
def test_without_an_embedder_no_two_tasks_mean_the_same(error: Exception) -> None:
    def embedder() -> Any:
        raise error

    assert by_meaning(embedder)("a", ["a"]) is None
