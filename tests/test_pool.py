"""Several models in little memory: what is kept, what has to go, who waits and who is refused."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import (
    Cancelled,
    MachineError,
    ModelError,
    NotEnoughMemory,
    PromptTooLong,
)
from agentkit.messages import ChatRequest, Message
from agentkit.pool import Offer, Pool, PooledChat, PooledTranscriber, Room
from agentkit.pool.leases import Prepare
from agentkit.testing import ScriptedModel, ScriptedTranscriber

SOON = 5.0
"""Seconds until a test gives up waiting for another thread."""


@dataclass
class Clock:
    """A clock that stands still."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(eq=False)
class Model:
    """Takes memory from its machine until it is closed."""

    name: str
    machine: Machine
    size: int
    closed: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        if not self.closed.is_set():
            self.machine.used -= self.size
        self.closed.set()


@dataclass
class Machine:
    """So many bytes of memory, and the models that were loaded into it, in order."""

    memory: int
    used: int = 0
    mapped: float = 0.0
    """The share of each model that the system still calls free."""
    loaded: list[str] = field(default_factory=list)
    most: int = 0

    def free(self) -> Room:
        return Room(self.memory - int(self.used * (1 - self.mapped)))

    def model(self, name: str, size: int, *, roomy: int | None = None) -> Prepare[Model]:
        """How to load a model of `size` bytes, or better of `roomy` bytes."""

        def load(bytes_: int) -> Model:
            self.used += bytes_
            self.most = max(self.most, self.used)
            self.loaded.append(name)
            return Model(name, self, bytes_)

        def prepare(room: Room) -> Offer[Model]:
            assert room.ram is not None
            for wanted in (roomy or size, size):
                if wanted <= room.ram:
                    return Offer(
                        partial(load, wanted),
                        ram=wanted,
                        mapped=int(wanted * self.mapped),
                        cramped=wanted < (roomy or size),
                    )
            raise NotEnoughMemory(f"{name} needs {size}, free are {room.ram}", hint="buy more")

        return prepare


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def machine() -> Machine:
    return Machine(memory=10)


@pytest.fixture
def make_pool(machine: Machine, clock: Clock) -> Iterator[Callable[..., Pool]]:
    with ExitStack() as after:

        def make(**over: object) -> Pool:
            pool = Pool(machine.free, clock=clock, **over)  # type: ignore[arg-type]  # mixed
            after.callback(pool.close)
            return pool

        yield make


@pytest.fixture
def pool(make_pool: Callable[..., Pool]) -> Pool:
    return make_pool(keep_alive=60)


@pytest.fixture
def start() -> Iterator[Callable[[Callable[[], object]], Callable[[], object]]]:
    """Run something in a thread; calling what this returns waits for it and gives its outcome."""
    threads: list[threading.Thread] = []

    def begin(work: Callable[[], object]) -> Callable[[], object]:
        outcome: list[object] = []

        def body() -> None:
            try:
                outcome.append(work())
            except BaseException as error:
                outcome.append(error)

        thread = threading.Thread(target=body, daemon=True)
        threads.append(thread)
        thread.start()

        def finish() -> object:
            thread.join(SOON)
            assert not thread.is_alive(), "still waiting"
            return outcome[0]

        return finish

    yield begin
    for thread in threads:
        thread.join(SOON)


Start = Callable[[Callable[[], object]], Callable[[], object]]


def use(pool: Pool, key: str, prepare: Prepare[Model]) -> Model:
    with pool.lease(key, prepare) as model:
        assert not model.closed.is_set()
        return model


def keys(pool: Pool) -> list[str]:
    return [holding.key for holding in pool.holdings()]


def until(condition: Callable[[], bool]) -> None:
    """Wait for another thread to get somewhere."""
    pause = threading.Event()
    for _ in range(int(SOON / 0.005)):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("it never happened")


# -- lending -------------------------------------------------------------------------------------


def test_a_model_is_loaded_once_and_shared(pool: Pool, machine: Machine) -> None:
    prepare = machine.model("a", 4)
    with pool.lease("a", prepare) as first, pool.lease("a", prepare) as second:
        assert first is second
        assert [holding.users for holding in pool.holdings()] == [2]
    assert use(pool, "a", prepare) is first
    assert machine.loaded == ["a"]


def test_threads_that_want_one_model_at_once_wait_for_one_load(
    pool: Pool, machine: Machine, start: Start
) -> None:
    prepare = machine.model("a", 4)
    go = threading.Event()

    def slow(room: Room) -> Offer[Model]:
        go.wait(SOON)
        return prepare(room)

    users = [start(lambda: use(pool, "a", slow)) for _ in range(8)]
    go.set()
    assert len({id(finish()) for finish in users}) == 1
    assert machine.loaded == ["a"]


def test_what_is_loaded_can_be_used_while_another_model_loads(
    pool: Pool, machine: Machine, start: Start
) -> None:
    use(pool, "a", machine.model("a", 2))
    loading, go = threading.Event(), threading.Event()

    def slow(room: Room) -> Offer[Model]:
        loading.set()
        go.wait(SOON)
        return machine.model("b", 2)(room)

    other = start(lambda: use(pool, "b", slow))
    loading.wait(SOON)
    assert use(pool, "a", machine.model("a", 2)).name == "a"
    go.set()
    other()
    assert machine.loaded == ["a", "b"]


def test_only_one_model_is_loaded_at_a_time(pool: Pool, machine: Machine, start: Start) -> None:
    inside, most = Counter[str](), []
    guard = threading.Lock()

    def watched(name: str) -> Prepare[Model]:
        def prepare(room: Room) -> Offer[Model]:
            offer = machine.model(name, 1)(room)

            def load() -> Model:
                with guard:
                    inside["now"] += 1
                    most.append(inside["now"])
                threading.Event().wait(0.005)
                with guard:
                    inside["now"] -= 1
                return offer.load()

            return Offer(load, ram=1)

        return prepare

    users = [start(partial(use, pool, name, watched(name))) for name in "abcdefgh"]
    for finish in users:
        finish()
    assert most == [1] * 8


# -- making room ---------------------------------------------------------------------------------


def test_the_idle_model_that_was_used_longest_ago_makes_room(
    pool: Pool, machine: Machine, clock: Clock
) -> None:
    for name in "abc":
        use(pool, name, machine.model(name, 3))
        clock.now += 1
    use(pool, "a", machine.model("a", 3))
    use(pool, "d", machine.model("d", 3))
    assert keys(pool) == ["c", "a", "d"]


def test_no_more_goes_than_has_to(pool: Pool, machine: Machine, clock: Clock) -> None:
    models = [use(pool, name, machine.model(name, 3)) for name in "abc"]
    use(pool, "d", machine.model("d", 1))
    assert not any(model.closed.is_set() for model in models)


def test_what_would_be_better_with_more_room_gets_it_from_idle_models(
    pool: Pool, machine: Machine
) -> None:
    use(pool, "a", machine.model("a", 4))
    assert use(pool, "b", machine.model("b", 2, roomy=8)).size == 8
    assert keys(pool) == ["b"]


def test_what_would_be_better_with_more_room_makes_do_beside_a_model_in_use(
    pool: Pool, machine: Machine
) -> None:
    with pool.lease("a", machine.model("a", 4)):
        assert use(pool, "b", machine.model("b", 2, roomy=8)).size == 2


def test_a_file_mapped_into_memory_counts_although_the_system_calls_it_free(
    make_pool: Callable[..., Pool], machine: Machine
) -> None:
    machine.mapped = 0.5
    pool = make_pool(keep_alive=60)
    use(pool, "a", machine.model("a", 6))
    use(pool, "b", machine.model("b", 6))
    assert keys(pool) == ["b"]


def test_there_are_never_more_models_than_allowed(
    make_pool: Callable[..., Pool], machine: Machine, clock: Clock
) -> None:
    pool = make_pool(most=2)
    for name in "abc":
        use(pool, name, machine.model(name, 1))
        clock.now += 1
    assert keys(pool) == ["b", "c"]
    with (
        pool.lease("b", machine.model("b", 1)),
        pool.lease("c", machine.model("c", 1)),
        pytest.raises(NotEnoughMemory, match=r"no more than 2 models at a time") as caught,
        pool.lease("d", machine.model("d", 1)),
    ):
        raise AssertionError("lent")
    assert "engine.max_models" in (caught.value.hint or "")


def test_memory_that_cannot_be_told_keeps_nothing_from_loading(machine: Machine) -> None:
    pool = Pool(lambda: Room(None))
    with pool.lease("a", lambda room: Offer(lambda: Model("a", machine, 0), ram=10**15)) as model:
        assert model.name == "a"
    pool.close()


def test_what_fits_nowhere_is_refused_with_the_reason(pool: Pool, machine: Machine) -> None:
    idle = use(pool, "a", machine.model("a", 4))
    with pytest.raises(NotEnoughMemory, match=r"^b needs 11, free are 10$") as caught:
        use(pool, "b", machine.model("b", 11))
    assert caught.value.hint == "buy more"
    assert idle.closed.is_set()


# -- what is in use ------------------------------------------------------------------------------


def test_a_model_in_use_is_waited_for(pool: Pool, machine: Machine, start: Start) -> None:
    release, held = threading.Event(), threading.Event()

    def hold() -> None:
        with pool.lease("a", machine.model("a", 8)) as model:
            held.set()
            release.wait(SOON)
            assert not model.closed.is_set()

    holder = start(hold)
    held.wait(SOON)
    waiter = start(lambda: use(pool, "b", machine.model("b", 8)))
    assert keys(pool) == ["a"]
    release.set()
    assert isinstance(waiter(), Model)
    assert holder() is None
    assert (machine.loaded, machine.most) == (["a", "b"], 8)


def test_who_would_wait_for_himself_is_told_what_he_holds(pool: Pool, machine: Machine) -> None:
    with (
        pool.lease("a", machine.model("a", 8)) as model,
        pytest.raises(NotEnoughMemory, match=r"^b needs 8, free are 2; in use: a \(8 B\)$"),
        pool.lease("b", machine.model("b", 8)),
    ):
        raise AssertionError("lent")
    assert model.closed.is_set() is False
    assert keys(pool) == ["a"]


def test_two_who_wait_for_each_other_do_not_wait_for_ever(
    pool: Pool, machine: Machine, start: Start
) -> None:
    both = threading.Barrier(2)

    def want(mine: str, other: str) -> Callable[[], object]:
        def work() -> object:
            with pool.lease(mine, machine.model(mine, 4)):
                both.wait(SOON)
                return use(pool, other, machine.model(other, 4))

        return work

    outcomes = [finish() for finish in (start(want("a", "c")), start(want("b", "d")))]
    kinds = Counter(type(outcome) for outcome in outcomes)
    assert kinds == Counter([NotEnoughMemory, Model])


def test_patience_has_an_end(
    make_pool: Callable[..., Pool], machine: Machine, clock: Clock, start: Start
) -> None:
    pool = make_pool(patience=30)
    release, held = threading.Event(), threading.Event()

    def hold() -> None:
        with pool.lease("a", machine.model("a", 8)):
            held.set()
            release.wait(SOON)

    holder = start(hold)
    held.wait(SOON)
    asked = threading.Event()

    def prepare(room: Room) -> Offer[Model]:
        asked.set()
        return machine.model("b", 8)(room)

    waiter = start(lambda: use(pool, "b", prepare))
    asked.wait(SOON)
    clock.now += 31
    assert "in use: a" in str(waiter())
    release.set()
    holder()


def test_a_cancel_ends_the_waiting(pool: Pool, machine: Machine, start: Start) -> None:
    token, release, held = CancelToken(), threading.Event(), threading.Event()

    def hold() -> None:
        with pool.lease("a", machine.model("a", 8)):
            held.set()
            release.wait(SOON)

    def want(name: str) -> Callable[[], object]:
        def work() -> object:
            with pool.lease(name, machine.model(name, 8), token):
                return "lent"

        return work

    holder = start(hold)
    held.wait(SOON)
    waiters = [start(want("b")), start(want("c"))]
    token.cancel("enough")
    assert [str(finish()) for finish in waiters] == ["enough", "enough"]
    release.set()
    holder()
    assert use(pool, "b", machine.model("b", 8)).name == "b"


# -- loading that fails --------------------------------------------------------------------------


@pytest.mark.parametrize("error", [MachineError("broken"), KeyboardInterrupt()])
def test_a_load_that_fails_leaves_the_pool_as_it_was(
    pool: Pool, machine: Machine, error: BaseException
) -> None:
    kept = use(pool, "a", machine.model("a", 4))

    def fail() -> Model:
        raise error

    with pytest.raises(type(error)), pool.lease("b", lambda room: Offer(fail, ram=4)):
        raise AssertionError("lent")
    assert keys(pool) == ["a"]
    assert not kept.closed.is_set()
    assert use(pool, "b", machine.model("b", 4)).name == "b"


# -- keeping alive -------------------------------------------------------------------------------


def test_an_idle_model_goes_when_its_time_is_over(
    pool: Pool, machine: Machine, clock: Clock
) -> None:
    model = use(pool, "a", machine.model("a", 4))
    clock.now += 59
    pool.sweep()
    assert [(one.key, one.users, one.idle) for one in pool.holdings()] == [("a", 0, 59.0)]
    clock.now += 1
    pool.sweep()
    assert keys(pool) == []
    assert model.closed.is_set()
    assert use(pool, "a", machine.model("a", 4)) is not model


def test_each_use_starts_the_time_anew(pool: Pool, machine: Machine, clock: Clock) -> None:
    model = use(pool, "a", machine.model("a", 4))
    for _ in range(5):
        clock.now += 59
        assert use(pool, "a", machine.model("a", 4)) is model


def test_a_model_in_use_does_not_grow_old(pool: Pool, machine: Machine, clock: Clock) -> None:
    with pool.lease("a", machine.model("a", 4)) as model:
        clock.now += 10_000
        pool.sweep()
        assert not model.closed.is_set()


def test_keep_alive_zero_unloads_at_once(make_pool: Callable[..., Pool], machine: Machine) -> None:
    model = use(make_pool(keep_alive=0), "a", machine.model("a", 4))
    assert model.closed.wait(SOON)


def test_time_passes_by_itself(machine: Machine) -> None:
    pool = Pool(machine.free, keep_alive=0.01)
    model = use(pool, "a", machine.model("a", 4))
    assert model.closed.wait(SOON)
    pool.close()


def test_a_negative_keep_alive_is_for_ever(
    make_pool: Callable[..., Pool], machine: Machine, clock: Clock
) -> None:
    pool = make_pool(keep_alive=-1)
    model = use(pool, "a", machine.model("a", 4))
    clock.now += 1e9
    pool.sweep()
    assert not model.closed.is_set()


def test_what_is_dropped_goes_as_soon_as_it_is_idle(pool: Pool, machine: Machine) -> None:
    with pool.lease("a", machine.model("a", 4)) as model:
        pool.drop("a")
        assert not model.closed.is_set()
    assert model.closed.wait(SOON)
    pool.drop("never loaded")


# -- the end -------------------------------------------------------------------------------------


def test_closing_unloads_everything_and_refuses_what_comes_later(
    pool: Pool, machine: Machine
) -> None:
    models = [use(pool, name, machine.model(name, 3)) for name in "ab"]
    pool.close()
    pool.close()
    assert all(model.closed.is_set() for model in models)
    with pytest.raises(ModelError, match="shutting down"):
        use(pool, "a", machine.model("a", 3))


def test_closing_waits_for_those_who_are_in_the_middle_of_something(
    pool: Pool, machine: Machine, start: Start
) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with pool.lease("a", machine.model("a", 3)) as model:
            held.set()
            model.closed.wait(SOON)  # what is running is told to end
            done.set()

    holder = start(hold)
    held.wait(SOON)
    pool.close()
    assert done.is_set()
    holder()


def test_closing_does_not_wait_for_oneself(pool: Pool, machine: Machine) -> None:
    with pool.lease("a", machine.model("a", 3)) as model:
        pool.close()
        assert model.closed.is_set()


def test_a_model_that_is_loaded_while_the_pool_closes_is_not_left_behind(
    pool: Pool, machine: Machine, start: Start
) -> None:
    loading, go = threading.Event(), threading.Event()
    made: list[Model] = []

    def slow() -> Model:
        loading.set()
        go.wait(SOON)
        made.append(Model("a", machine, 0))
        return made[0]

    user = start(lambda: use(pool, "a", lambda room: Offer(slow)))
    loading.wait(SOON)
    closer = start(pool.close)
    until(lambda: pool._closed)
    go.set()
    assert isinstance(user(), ModelError)
    assert closer() is None
    assert made[0].closed.is_set()


# -- all at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_many_threads_never_meet_a_closed_model_nor_too_little_memory(
    machine: Machine, start: Start, seed: int
) -> None:
    pool = Pool(machine.free, keep_alive=0.0005)
    sizes = {"a": 3, "b": 4, "c": 5, "d": 6, "e": 2}
    meetings: list[str] = []

    def work(number: int) -> Callable[[], object]:
        def body() -> None:
            dice = random.Random(seed * 1000 + number)
            for _ in range(60):
                name = dice.choice(list(sizes))
                with pool.lease(name, machine.model(name, sizes[name])) as model:
                    meetings.append(model.name)
                    assert model.name == name
                    assert not model.closed.is_set()
                if dice.random() < 0.1:
                    pool.drop(name)

        return body

    assert [finish() for finish in [start(work(number)) for number in range(12)]] == [None] * 12
    assert len(meetings) == 12 * 60
    assert machine.most <= machine.memory
    pool.close()
    assert machine.used == 0
    assert pool._queued == []


# -- ports on top --------------------------------------------------------------------------------

QUESTION = ChatRequest((Message("user", "How are you?"),))


class Loads:
    """How to load a scripted model, and how often that was done; the context grows each time."""

    def __init__(self, *answers: str) -> None:
        self.answers = answers
        self.count = 0

    def __call__(self, room: Room) -> Offer[Any]:
        return Offer(self._load, ram=1)

    def _load(self) -> ScriptedModel:
        self.count += 1
        return ScriptedModel(*self.answers, context_tokens=100 * self.count)


def users(pool: Pool) -> list[int]:
    return [holding.users for holding in pool.holdings()]


def test_a_chat_model_is_loaded_when_it_is_asked_and_again_after_it_had_to_go(
    pool: Pool, clock: Clock
) -> None:
    loads = Loads("Fine, thanks.")
    model = PooledChat(pool, "mine", loads)
    assert (model.name, loads.count) == ("mine", 0)
    for times in (1, 2):
        *_, last = model.stream(QUESTION)
        assert last.completion is not None
        assert last.completion.text == "Fine, thanks."
        assert loads.count == times
        clock.now += 61
        pool.sweep()


def test_a_stream_holds_its_model_until_it_is_read_closed_or_dropped(pool: Pool) -> None:
    model = PooledChat(pool, "mine", Loads(*["one two three"] * 3))

    read = model.stream(QUESTION)
    assert users(pool) == [1]
    assert [delta.text for delta in read][:2] == ["one", " two"]
    assert users(pool) == [0]

    closed = model.stream(QUESTION)
    next(closed)
    closed.close()  # type: ignore[attr-defined]  # a generator
    assert users(pool) == [0]

    dropped = model.stream(QUESTION)
    assert users(pool) == [1]
    del dropped
    assert users(pool) == [0]


def test_what_is_wrong_with_a_request_is_said_by_the_call(pool: Pool) -> None:
    model = PooledChat(pool, "mine", Loads())
    with pytest.raises(PromptTooLong):
        model.stream(ChatRequest((Message("user", "x " * 200),)))
    assert users(pool) == [0]


def test_a_request_that_is_cancelled_while_it_waits_for_its_model_says_so(
    pool: Pool, machine: Machine
) -> None:
    token = CancelToken()
    token.cancel()

    def prepare(room: Room) -> Offer[Any]:
        raise NotEnoughMemory("no room")

    with pool.lease("other", machine.model("other", 9)):
        (only,) = PooledChat(pool, "mine", prepare).stream(QUESTION, token)
    assert only.completion is not None
    assert (only.completion.finish_reason, only.completion.model) == ("cancelled", "mine")


def test_the_context_is_that_of_the_loaded_model(pool: Pool) -> None:
    model = PooledChat(pool, "mine", Loads())
    assert [model.context_tokens, model.context_tokens] == [100, 100]
    assert model.count_tokens(QUESTION.messages) > 0
    model.close()
    assert model.context_tokens == 200


def test_a_transcriber_is_leased_for_each_recording(pool: Pool) -> None:
    def prepare(room: Room) -> Offer[Any]:
        return Offer(lambda: ScriptedTranscriber({"a.wav": "hello there"}))

    ears = PooledTranscriber(pool, "ears", prepare)
    assert ears.transcribe(Path("a.wav")).text == "hello there"
    token = CancelToken()
    token.cancel("no")
    with pytest.raises(Cancelled, match="no"):
        ears.transcribe(Path("a.wav"), cancel=token)
    assert users(pool) == [0]
