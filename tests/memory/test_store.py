"""One collection: what is kept once, what is found, what is forgotten."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from agentkit.errors import UserError
from agentkit.memory import Collection
from agentkit.memory.store import LONGEST_NOTE
from agentkit.ports import Condition

from .conftest import Opened
from .tiny import tiny


def texts(collection: Collection, query: str, **more: object) -> list[str]:
    return [one.text for one in collection.search(query, **more)]  # type: ignore[arg-type]


# -- what counts as the same ---------------------------------------------------------------------


def test_the_same_text_is_kept_once(collection: Collection) -> None:
    first = collection.save("The Sky  is blue.", source="a")
    assert collection.save("the sky is\nBLUE.", source="b") == first
    assert collection.count() == 1


def test_the_same_text_costs_no_embedding(opened: Opened) -> None:
    embedding = tiny()
    collection = opened(embedding=embedding)
    collection.save("one", source="")
    before = embedding.embedder.asked  # type: ignore[attr-defined]
    collection.save("ONE", source="")
    assert embedding.embedder.asked == before  # type: ignore[attr-defined]


def test_nearly_the_same_text_is_kept_once(collection: Collection) -> None:
    first = collection.save("He opened the big door of the old house at noon", source="a")
    assert (
        collection.save("He opened the big door, of the old house, at noon!", source="b") == first
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "The budget of the year is 4000 euros in all",
            "The budget of the year is 5000 euros in all",
        ),
        ("The door of the house is open now", "The door of the house is not open now"),
    ],
)
def test_another_number_or_word_is_another_text(
    collection: Collection, one: str, other: str
) -> None:
    assert collection.save(one, source="") != collection.save(other, source="")


def test_near_texts_are_kept_where_settings_say_so(opened: Opened) -> None:
    collection = opened(same_meaning=1.1)
    one = collection.save("He opened the big door", source="")
    assert collection.save("He opened the big door!", source="") != one


def test_a_near_text_is_refused_by_the_index_too(opened: Opened) -> None:
    collection = opened(few=3)
    ids = [collection.save(f"entry about {name} things", source="") for name in "abcdefghij"]
    assert collection.status().indexed >= 3
    assert collection.save("entry about b things!", source="") == ids[1]


def test_an_empty_text_is_refused(collection: Collection) -> None:
    with pytest.raises(UserError, match="empty"):
        collection.save(" \n", source="")


def test_a_text_too_long_for_a_note_is_refused_with_a_way_out(collection: Collection) -> None:
    with pytest.raises(UserError, match="100001 characters") as caught:
        collection.save("x" * (LONGEST_NOTE + 1), source="")
    assert "memory add FILE" in str(caught.value.hint)


def test_a_note_longer_than_the_embedder_reads_is_one_entry(opened: Opened) -> None:
    collection = opened(embedding=tiny(longest=10))
    long = " ".join(f"word{n}" for n in range(95)) + " treasure"
    key = collection.save(long, source="")
    assert collection.status().vectors >= 10
    (found,) = collection.search("treasure")
    assert (found.id, found.text) == (key, long)
    assert collection.save(long + " more", source="") != key


# -- what is kept --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "0",
        "東京",
        "👩‍👩‍👧‍👦",
        "Zürich – café",
        "'; DROP TABLE entries; --",
        '"quoted" AND OR NEAR(',
    ],
)
def test_any_text_comes_back_as_it_was(collection: Collection, text: str) -> None:
    key = collection.save(text, source="s")
    collection.save("something else", source="s")
    assert collection.search(text)[0].id == key
    assert collection.search(text)[0].text == text


def test_an_entry_has_source_time_and_metadata(collection: Collection) -> None:
    before = datetime.now(UTC)
    collection.save("fact", source="mail", metadata={"year": 2026, "done": True, "by": "Zoë"})
    (found,) = collection.search("fact")
    assert found.source == "mail"
    assert dict(found.metadata) == {"year": 2026, "done": True, "by": "Zoë"}
    assert found.time is not None
    assert before <= found.time <= datetime.now(UTC)


@pytest.mark.parametrize(
    "metadata", [{"source": "x"}, {"": 1}, {"a": None}, {"a": [1]}, {"a": float("nan")}]
)
def test_metadata_that_cannot_be_kept_are_refused(
    collection: Collection, metadata: dict[str, object]
) -> None:
    with pytest.raises(UserError):
        collection.save("x", source="", metadata=metadata)  # type: ignore[arg-type]
    assert collection.count() == 0


def test_it_is_still_there_in_the_next_process(opened: Opened) -> None:
    opened().save("the first", source="")
    assert texts(opened(), "first") == ["the first"]


# -- what is found -------------------------------------------------------------------------------


def test_nothing_is_found_in_nothing(collection: Collection) -> None:
    assert collection.search("x") == []
    assert not collection.exists


@pytest.mark.parametrize("query", ["", "  ", "\0"])
def test_an_empty_query_breaks_nothing(collection: Collection, query: str) -> None:
    collection.save("x", source="")
    assert len(collection.search(query)) <= 1


def test_the_same_text_has_the_score_one(collection: Collection) -> None:
    collection.save("alpha beta", source="")
    collection.save("gamma delta", source="")
    first, second = collection.search("alpha beta")
    assert first.score == pytest.approx(1)
    assert 0 <= second.score < 0.9


def test_a_rare_word_is_found_whatever_the_vectors_say(collection: Collection) -> None:
    """Its meaning is lost among a hundred other words; its letters are not."""
    long = " ".join(f"noise{n}" for n in range(150)) + " XK-4711"
    collection.save(long, source="")
    for number in range(120):
        collection.save(f"about part number {number} of the machine", source="")
    assert long in texts(collection, "XK-4711", limit=2)


def test_a_text_that_is_there_twice_is_shown_once(opened: Opened) -> None:
    collection = opened(same_meaning=1.1)
    for place in ("a", "b"):
        with collection.database.write() as connection:
            connection.execute("UPDATE entries SET digest = x'00'")  # as two documents would
        collection.save("the same words", source=place)
    with collection.database.write() as connection:
        connection.execute("UPDATE entries SET text = 'the same words'")
    assert collection.count() == 2
    assert texts(collection, "the same words") == ["the same words"]


def test_the_limit_holds(collection: Collection) -> None:
    for number in range(20):
        collection.save(f"entry number {number} of many", source="")
    assert len(collection.search("entry", limit=3)) == 3
    assert len(collection.search("entry", limit=100)) == 20
    assert collection.search("entry", limit=0) == []


# -- conditions ----------------------------------------------------------------------------------


@pytest.fixture
def shelf(collection: Collection) -> Collection:
    """Three entries that differ in everything."""
    collection.save("first thing", source="notes/a.md", metadata={"year": 2024, "ok": True})
    collection.save("second thing", source="notes/b.md", metadata={"year": 2025, "who": "Ann"})
    collection.save("third thing", source="mail", metadata={"year": 2026.5, "who": "Bob"})
    return collection


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([("year", ">=", 2025)], {"second", "third"}),
        ([("year", "<", 2025)], {"first"}),
        ([("year", "=", 2024)], {"first"}),
        ([("year", "!=", 2024)], {"second", "third"}),
        ([("who", "=", "Ann")], {"second"}),
        ([("who", "!=", "Ann")], {"first", "third"}),
        ([("who", "~", "*")], {"second", "third"}),
        ([("who", ">", "A")], {"second", "third"}),
        ([("year", ">", "A")], set()),
        ([("who", ">", 1)], set()),
        ([("ok", "=", True)], {"first"}),
        ([("ok", "=", False)], set()),
        ([("source", "~", "notes/*")], {"first", "second"}),
        ([("source", "=", "mail")], {"third"}),
        ([("time", ">", "2020-01-01")], {"first", "second", "third"}),
        ([("time", "<", "2020-01-01")], set()),
        ([("year", ">", 2024), ("source", "~", "notes/*")], {"second"}),
        ([("nothing", "=", 1)], set()),
        ([("nothing", "!=", 1)], {"first", "second", "third"}),
    ],
)
def test_all_conditions_have_to_hold(
    shelf: Collection, conditions: list[tuple[str, str, object]], expected: set[str]
) -> None:
    where = [Condition(*one) for one in conditions]  # type: ignore[arg-type]
    assert {text.split()[0] for text in texts(shelf, "thing", where=where)} == expected
    assert {one.text.split()[0] for one in shelf.entries(where)} == expected
    assert shelf.count(where) == len(expected)


@pytest.mark.parametrize(
    "condition",
    [Condition("time", ">", "yesterday"), Condition("a", "like", 1)],  # type: ignore[arg-type]
)
def test_a_condition_that_means_nothing_is_refused(shelf: Collection, condition: Condition) -> None:
    with pytest.raises(UserError):
        shelf.search("thing", where=[condition])


def test_a_time_without_a_zone_is_local(shelf: Collection) -> None:
    now = datetime.now()
    an_hour = timedelta(hours=1)
    assert shelf.count([Condition("time", ">", (now - an_hour).isoformat())]) == 3
    assert shelf.count([Condition("time", ">", (now + an_hour).isoformat())]) == 0


# -- forgetting ----------------------------------------------------------------------------------


def test_what_is_forgotten_is_found_by_nothing(shelf: Collection) -> None:
    assert shelf.forget([Condition("source", "~", "notes/*")]) == 2
    assert texts(shelf, "first") == ["third thing"]
    with shelf.database.read() as connection:
        for table in ("entries", "vectors"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 1
        found = "SELECT count(*) FROM words WHERE words MATCH 'first'"
        assert connection.execute(found).fetchone()[0] == 0
        facts = connection.execute("SELECT DISTINCT entry FROM metadata").fetchall()
        assert len(facts) == 1


def test_what_was_forgotten_can_be_kept_again(shelf: Collection) -> None:
    shelf.forget([Condition("who", "=", "Ann")])
    shelf.save("second thing", source="new")
    assert shelf.search("second thing")[0].source == "new"


def test_no_condition_forgets_nothing(shelf: Collection) -> None:
    assert shelf.forget([]) == 0
    assert shelf.forget_all() == 3
    assert shelf.count() == 0


def test_an_empty_collection_belongs_to_no_embedder(shelf: Collection, opened: Opened) -> None:
    shelf.forget_all()
    other = opened(embedding=tiny("german"))
    other.save("neu", source="")
    assert texts(other, "neu") == ["neu"]


def test_the_newest_entries_are_listed_first(shelf: Collection) -> None:
    assert [one.text for one in shelf.entries(limit=2)] == ["third thing", "second thing"]
    assert [one.text for one in shelf.entries(limit=2, offset=2)] == ["first thing"]


# -- the embedder --------------------------------------------------------------------------------


def test_vectors_of_another_embedder_are_told_with_the_command(
    shelf: Collection, opened: Opened
) -> None:
    other = opened(embedding=tiny("german"))
    for use in (lambda: other.search("x"), lambda: other.save("x", source="")):
        with pytest.raises(UserError, match=r"'tiny'.*'tinygerman'") as caught:
            use()
        assert "agentkit memory reembed --collection notes" in str(caught.value.hint)
    assert shelf.count() == 3
    assert "cannot be compared" in other.status().fault
    assert other.forget([Condition("source", "=", "mail")]) == 1  # needs no embedder


def test_threads_may_save_and_search_at_once(opened: Opened) -> None:
    collection = opened(few=10)

    def work(number: int) -> None:
        for one in range(15):
            collection.save(f"thread {number} says w{number}x{one}", source="")
            assert collection.search(f"w{number}x{one}", limit=1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert collection.count() == 60
    assert {texts(collection, f"w{n}x{m}", limit=1)[0] for n in range(4) for m in range(15)} == {
        one.text for one in collection.entries()
    }
