"""Prefixes on disk: found again, never trusted, within their budget."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agentkit import machine
from agentkit.engine import LlamaChatModel
from agentkit.engine.saved import SUFFIX, SavedPrefixes
from agentkit.messages import ChatRequest, Completion, Message

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6]
STATE = b"a state" * 100


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One with one prefix in it."""
    SavedPrefixes(tmp_path / "prefixes").save(TOKENS, STATE)
    return tmp_path / "prefixes"


def test_another_process_finds_a_prefix_again(folder: Path) -> None:
    saved = SavedPrefixes(folder)
    prompt = [*TOKENS, 7, 7]
    assert saved.holds(TOKENS)
    assert saved.match((), prompt, whole=True) == len(TOKENS)
    assert saved.match((), [*TOKENS[:5], 0], whole=False) == 5
    assert saved.match((), [*TOKENS[:5], 0], whole=True) == 0
    assert saved.fetch((), prompt, whole=True) == (TOKENS, STATE)


def test_prompts_with_adapters_find_nothing(folder: Path) -> None:
    assert SavedPrefixes(folder).match((("french", 1.0),), TOKENS, whole=False) == 0


@pytest.mark.parametrize("place", [0, 20, 60, 150, -1])
def test_a_file_with_a_wrong_byte_is_not_used_and_deleted(folder: Path, place: int) -> None:
    (path,) = files(folder)
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)
    saved = SavedPrefixes(folder)
    assert saved.fetch((), [*TOKENS, 7], whole=False) is None
    assert saved.match((), [*TOKENS, 7], whole=False) == 0
    assert files(folder) == []


@pytest.mark.parametrize("size", [0, 10, 40, 120, 140, -1])
def test_a_file_that_was_cut_off_is_not_used_and_deleted(folder: Path, size: int) -> None:
    (path,) = files(folder)
    path.write_bytes(path.read_bytes()[:size])
    assert SavedPrefixes(folder).match((), [*TOKENS, 7], whole=False) == 0
    assert files(folder) == []


def test_a_file_that_vanished_is_not_missed(folder: Path) -> None:
    saved = SavedPrefixes(folder)
    files(folder)[0].unlink()
    assert saved.fetch((), [*TOKENS, 7], whole=False) is None


def test_the_longest_unused_ones_make_room(tmp_path: Path) -> None:
    saved = SavedPrefixes(tmp_path, budget=2 * len(STATE) + 600)
    for token in (1, 2):
        saved.save([token] * 8, STATE)
    one, two = (saved.match((), [token] * 9, whole=True) for token in (1, 2))
    assert (one, two) == (8, 8)
    old = next(path for path in files(tmp_path) if saved._paths[0] == path)
    os.utime(old, (1, 1))
    saved.save([3] * 8, STATE)
    assert [saved.match((), [token] * 9, whole=True) for token in (1, 2, 3)] == [0, 8, 8]


def test_what_a_killed_process_left_is_deleted_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", never)
        with pytest.raises(KeyboardInterrupt):
            SavedPrefixes(tmp_path).save(TOKENS, STATE)
    (draft,) = tmp_path.iterdir()
    saved = SavedPrefixes(tmp_path)
    saved.save([1] * 8, STATE)
    assert draft.exists()
    os.utime(draft, (1, 1))
    saved.save([2] * 8, STATE)
    assert not draft.exists()
    assert len(files(tmp_path)) == len([*tmp_path.iterdir()]) == 2


def test_what_another_process_is_writing_takes_its_place(tmp_path: Path) -> None:
    saved = SavedPrefixes(tmp_path, budget=2 * len(STATE) + 600)
    (tmp_path / "0123456789abcdef.0a1b2c3d").write_bytes(STATE)
    for token in (1, 2):
        saved.save([token] * 8, STATE)
    assert len(files(tmp_path)) == 1


def never(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_folder_that_cannot_be_made_costs_no_answer(tmp_path: Path) -> None:
    (tmp_path / "prefixes").write_text("a file is in the way", encoding="utf-8")
    saved = SavedPrefixes(tmp_path / "prefixes")
    saved.save(TOKENS, STATE)
    assert saved.match((), [*TOKENS, 7], whole=False) == 0


# -- with a model --------------------------------------------------------------------------------

OPENING = Message("system", "You are the clerk of a small shop, and you know its rules. " * 20)


def answers(path: Path, prefixes: Path, *, digest: str = "abc") -> list[Completion]:
    """What a new process would say to two questions."""
    model = LlamaChatModel(
        path, "small", context_tokens=1024, threads=machine.physical_cores(),
        prefix_folder=prefixes, digest=digest,
    )  # fmt: skip
    completions = []
    for text in ("May I bring my dog?", "When do you open?"):
        *_, last = model.stream(ChatRequest((OPENING, Message("user", text)), max_tokens=6))
        assert last.completion is not None
        completions.append(last.completion)
    model.close()
    return completions


@pytest.mark.model
def test_an_agents_prompt_is_not_read_again_after_a_restart(
    model_path: Callable[[str], Path], tmp_path: Path
) -> None:
    path = model_path("smollm2-135m")
    first = answers(path, tmp_path)
    second = answers(path, tmp_path)
    assert first[0].usage.cached_tokens < 10
    assert second[0].usage.cached_tokens > 200
    assert [said.text for said in second] == [said.text for said in first]
    assert answers(path, tmp_path, digest="of another model")[0].usage.cached_tokens < 10


@pytest.mark.model
def test_a_state_that_does_not_fit_is_read_as_if_it_were_not_there(
    model_path: Callable[[str], Path], tmp_path: Path
) -> None:
    """As after an update of llama.cpp that the key of the folder does not know of."""
    path = model_path("smollm2-135m")
    first = answers(path, tmp_path)
    (saved,) = tmp_path.glob(f"*/*{SUFFIX}")
    shelf = SavedPrefixes(saved.parent)
    tokens = shelf._index.tokens(0)
    saved.unlink()
    SavedPrefixes(saved.parent).save(tokens, b"nothing that llama.cpp knows" * 50)
    again = answers(path, tmp_path)
    assert again[0].usage.cached_tokens < 10
    assert [said.text for said in again] == [said.text for said in first]
