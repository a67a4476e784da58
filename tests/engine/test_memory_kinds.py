"""What is reused of a prompt is never wrong, whatever kind of memory a model has.

Each answer of a model that remembers is held against that of a model loaded for this one question.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from agentkit.engine import LlamaChatModel
from agentkit.messages import ChatRequest, Completion, Message

from .tiny_models import KINDS, write_adapter, write_model

pytestmark = pytest.mark.model

TOLERANCE = 0.05
"""How far natural log probabilities may lie apart for batches of another shape.

Measured on these models: 0.005 between equal contexts at most, 0.05 and up to 15 for wrong ones.
"""

Load = Callable[..., LlamaChatModel]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tiny")
    return {kind: write_model(folder / f"{kind}.gguf", kind) for kind in KINDS}


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tiny")
    return {
        name: write_adapter(folder / name, seed=seed) for seed, name in ((1, "old"), (2, "new"))
    }


@pytest.fixture
def load(files: dict[str, Path]) -> Iterator[Load]:
    """`load("hybrid", context_tokens=512)`."""
    loaded: list[LlamaChatModel] = []

    def one(kind: str, **more: object) -> LlamaChatModel:
        settings = {"context_tokens": 2048, "threads": 1, **more}
        loaded.append(LlamaChatModel(files[kind], kind, **settings))  # type: ignore[arg-type]
        return loaded[-1]

    yield one
    for model in loaded:
        model.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Talk = tuple[Message, ...]


def words(count: int, seed: int) -> str:
    """A text of about three tokens a word."""
    draw = random.Random(seed)
    return " ".join("".join(draw.choices("abcdefgh", k=2)) for _ in range(count))


def asked(*turns: str) -> Talk:
    """A conversation that begins with the user and ends with a question."""
    return tuple(
        Message("assistant" if number % 2 else "user", text) for number, text in enumerate(turns)
    )


def ask(model: LlamaChatModel, talk: Talk, *, tokens: int = 12, **more: object) -> Completion:
    request = ChatRequest(talk, max_tokens=tokens, top_logprobs=4, **more)  # type: ignore[arg-type]
    *_, last = model.stream(request)
    assert last.completion is not None
    return last.completion


def agree(one: Completion, other: Completion) -> bool:
    """Whether two greedy answers come from the same context.

    They may part where two tokens are equally likely, and are not compared from there on.
    """
    assert one.logprobs
    for mine, yours in zip(one.logprobs, other.logprobs, strict=True):
        opinion = dict(yours.top)
        if abs(mine.logprob - opinion.get(mine.token, -1e9)) > TOLERANCE:
            return False
        if mine.token != yours.token:
            return abs(mine.logprob - yours.logprob) <= TOLERANCE
    return True


class Check:
    """Asks a model, and a fresh one of its kind the same."""

    def __init__(self, load: Load, model: LlamaChatModel, **settings: object) -> None:
        self._load, self.model, self._settings = load, model, settings

    def __call__(self, talk: Talk, **more: object) -> Completion:
        completion = ask(self.model, talk, **more)  # type: ignore[arg-type]
        self.compare(talk, completion, **more)
        return completion

    def compare(self, talk: Talk, completion: Completion, **more: object) -> None:
        fresh = self._load(self.model.name, **self._settings)
        expected = ask(fresh, talk, **more)  # type: ignore[arg-type]
        fresh.close()
        assert expected.usage.cached_tokens == 0
        assert agree(completion, expected), (completion.text, expected.text, completion.usage)


@pytest.fixture
def check(load: Load, kind: str) -> Check:
    return Check(load, load(kind))


# -- the models themselves -----------------------------------------------------------------------


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path, files: dict[str, Path]) -> None:
    for kind, path in files.items():
        again = write_model(tmp_path / "again.gguf", kind)
        assert again.read_bytes() == path.read_bytes()
        assert path.stat().st_size < 1_000_000


def test_an_early_word_decides_the_answer(load: Load, kind: str) -> None:
    """Otherwise nothing below could fail.  (The short windows of the last kind see 70 tokens.)"""
    text = words(4 if kind == "hybrid-sliding-window" else 80, seed=1)
    one, other = (ask(load(kind), asked(first + text), tokens=24) for first in "ab")
    assert one.text != other.text
    assert not agree(one, other)
    assert all(piece.isascii() and piece.isprintable() for piece in one.text + other.text)


# -- one conversation after the other ------------------------------------------------------------


def test_a_question_asked_again_is_not_read_again(check: Check) -> None:
    talk = asked(words(60, seed=1))
    first, again = check(talk), check(talk)
    assert (first.usage.cached_tokens, again.usage.cached_tokens) == (
        0,
        again.usage.prompt_tokens - 1,
    )


def test_a_conversation_that_goes_on_is_read_from_where_it_ended(check: Check) -> None:
    talk = asked(words(60, seed=1))
    usages = []
    for turn in range(5):
        answer = check(talk)
        usages.append(answer.usage)
        talk += asked("", answer.text, words(20, seed=turn))[1:]
    for before, after in pairwise(usages):
        assert after.cached_tokens >= before.prompt_tokens - 1


def test_a_conversation_may_branch_anywhere(check: Check) -> None:
    """From its end back to its first word: what lies behind the branch is not used."""
    text = words(150, seed=1)
    check(asked(text, "So.", "And then?"))
    for kept in (449, 448, 440, 400, 300, 31, 1, 0):
        check(asked(text[:kept] + "Z" + words(5, seed=kept)))


def test_branches_share_what_they_begin_with(check: Check) -> None:
    """System prompts are where conversations part."""
    system = Message("system", words(100, seed=1))
    cached = [check((system, *asked(words(8, seed=seed)))).usage.cached_tokens for seed in range(4)]
    assert cached[0] == 0
    assert min(cached[1:]) >= len(system.content)


def test_conversations_that_take_turns_do_not_meet(check: Check) -> None:
    system = Message("system", words(30, seed=1))
    talks = [(system, *asked(words(20, seed=speaker))) for speaker in range(5)]
    for turn in range(4):
        for speaker, talk in enumerate(talks):
            answer = check(talk)
            assert turn == 0 or answer.usage.cached_tokens > len(system.content)
            talks[speaker] = (*talk, answer.message, Message("user", words(9, seed=turn)))


@pytest.mark.parametrize(("seed", "context_tokens"), [(0, 512), (1, 1024)])
def test_a_crowded_cache_forgets_but_never_mixes(
    load: Load, kind: str, seed: int, context_tokens: int
) -> None:
    """Conversations that extend, branch, repeat and begin anew in a cache that holds few of them.

    Behind the sliding window of a sequence llama.cpp gives its cells to others, with free ones left
    or not: what was reused a moment ago may be gone.
    """
    check = Check(load, load(kind, context_tokens=context_tokens), context_tokens=context_tokens)
    draw = random.Random(seed)
    talks = [asked(words(draw.randint(1, 60), seed=number)) for number in range(4)]
    cached = 0
    for step in range(30):
        talk = draw.choice(talks)
        match draw.choice(("extend", "extend", "branch", "repeat", "begin")):
            case "extend":
                talk += (Message("assistant", words(2, step)), Message("user", words(12, step)))
            case "branch":
                text = talk[-1].content
                cut = text[: draw.randrange(len(text))] + words(draw.randint(1, 20), step)
                talk = (*talk[:-1], Message("user", cut))
            case "begin":
                talk = asked(words(draw.randint(1, 60), seed=100 + step))
        if sum(len(message.content) + 30 for message in talk) > 400:
            talk = talk[:1]
        talks[draw.randrange(len(talks))] = talk
        cached += check(talk, tokens=8).usage.cached_tokens
    assert cached > 0


# -- at the same time ----------------------------------------------------------------------------


def test_many_at_once_get_the_answers_of_one_alone(check: Check) -> None:
    """Prompts of one beginning, forked from a sequence that is being written, of all lengths."""
    system = Message("system", words(60, seed=1))
    talks = [(system, *asked(words(1 + 7 * number, seed=number))) for number in range(8)]
    start = threading.Barrier(len(talks))

    def one(talk: Talk) -> Completion:
        start.wait()
        return ask(check.model, talk, tokens=30)

    with ThreadPoolExecutor(len(talks)) as pool:
        for _ in range(2):
            for talk, answer in zip(talks, pool.map(one, talks), strict=True):
                check.compare(talk, answer, tokens=30)


def test_a_copy_of_a_sequence_that_is_being_written_goes_its_own_way(check: Check) -> None:
    system = Message("system", words(60, seed=1))
    long, short = (system, *asked("Tell me all.")), (system, *asked("One word."))
    stream = check.model.stream(ChatRequest(long, max_tokens=200, top_logprobs=4))
    next(stream)
    for _ in range(3):
        assert check(short).usage.cached_tokens >= len(system.content)
    *_, last = stream
    assert last.completion is not None
    check.compare(long, last.completion, tokens=200)


# -- LoRA ----------------------------------------------------------------------------------------

USES: list[dict[str, float]] = [{}, {"old": 1}, {"old": 0.5}, {"new": 1}, {"old": 1, "new": 1}]


def test_every_set_of_adapters_has_an_answer_of_its_own(
    load: Load, adapters: dict[str, Path]
) -> None:
    model = load("attention", adapters=adapters)
    answers = [ask(model, asked(words(60, seed=1)), adapters=use) for use in USES]
    for one, other in combinations(answers, 2):
        assert not agree(one, other)


def test_nothing_read_with_one_adapter_is_reused_with_another(
    load: Load, adapters: dict[str, Path]
) -> None:
    check = Check(load, load("attention", adapters=adapters), adapters=adapters)
    talk = asked(words(60, seed=1))
    for use in USES:
        assert check(talk, adapters=use).usage.cached_tokens == 0
    for use in USES:
        again = check(talk, adapters=use)
        assert again.usage.cached_tokens == again.usage.prompt_tokens - 1


def test_requests_with_different_adapters_run_side_by_side(
    load: Load, adapters: dict[str, Path]
) -> None:
    check = Check(load, load("attention", adapters=adapters), adapters=adapters)
    talk = asked(words(40, seed=1))
    with ThreadPoolExecutor(len(USES)) as pool:
        answers = pool.map(lambda use: ask(check.model, talk, adapters=use), USES)
        for use, answer in zip(USES, answers, strict=True):
            check.compare(talk, answer, adapters=use)
