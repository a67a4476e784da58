"""What a result states is looked up in what the tools gave, however it is written there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.agent.claims import admits_nothing, as_meant, lines, shows, stated, unshown

# -- as it was meant -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "meant"),
    [
        ("The sum is 1996.7099999999996.", "The sum is 1996.71."),
        ("0.30000000000000004 and 1.1", "0.3 and 1.1"),
        ("2.0000000000000004", "2"),
        ("a third: 3.3333333333333335", "a third: 3.3333333333333335"),
        ("3.141592653589793", "3.141592653589793"),
        ("version 1.2.1234567890", "version 1.2.1234567890"),
        ("123456789012.5000000001", "123456789012.5000000001"),
        ("There are 1870.032439 euros in it.", "There are 1870.03 euros in it."),
        ("EUR 1870.032439, or $12.345678", "EUR 1870.03, or $12.35"),
        ("One euro is 1.0857 dollars.", "One euro is 1.0857 dollars."),
        ("It is 1870.032439.", "It is 1870.032439."),
        ("A call costs 0.0034567 euros.", "A call costs 0.0034567 euros."),
    ],
)
def test_numbers_are_told_as_they_were_meant(printed: str, meant: str) -> None:
    assert as_meant(printed) == meant


# -- what can be looked up -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "claims"),
    [
        ("The total is 1204.", ["1204"]),
        ("It was 3.75 percent.", ["3.75"]),
        ("On 2026-03-14 it rained.", ["2026-03-14"]),
        ("At 14:30 it began.", ["14:30"]),
        ("See https://example.org/a?b=1 for more.", ["https://example.org/a?b=1"]),
        ("Write to anna@example.org.", ["anna@example.org"]),
        ('It says "the sea is very calm today" there.', ["the sea is very calm today"]),
        ("It says “the sea is very calm today”.", ["the sea is very calm today"]),
        ("1204 and again 1204 make 2408.", ["1204", "2408"]),
    ],
)
def test_numbers_dates_addresses_and_quotations_are_claims(result: str, claims: list[str]) -> None:
    assert stated(result) == claims


@pytest.mark.parametrize(
    "result",
    [
        "There are 2 files and 1 row.",
        "All of it was written.",
        "The file notes2.txt was read.",
        "Version v1.2 of it is used.",
        'It is called "short".',
        "She said 'nothing at all that matters'.",
        "",
    ],
)
def test_small_counts_names_and_plain_words_are_no_claims(result: str) -> None:
    assert stated(result) == []


# -- where it stands -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("1204", "in all 1,204 people"),
        ("1,204", "in all 1204 people"),
        ("1,204.50", "1204.5"),
        ("1.204,50", "1204.5"),
        ("1204.0", "1204"),
        ("0.5", "it is 0.50"),
        ("14.03.2026", "2026-03-14"),
        ("2026-03-14", "on 14/3/2026"),
        ("3/14/2026", "2026-03-14"),
        ("anna@example.org", "ANNA@example.org wrote"),
        ("https://example.org/a", "(https://example.org/a)"),
        ("the sea is very calm", "...The sea, is very\n calm!"),
        ("1345", "id,day,total\n7,2026-01-03,1345,17.5"),
        ("17.5", "7,2026-01-03,1345,17.5"),
        ("2026-01-03", "7,2026-01-03,1345,17.5"),
        ("345", "[120,345,678000]"),
        ("2026", "on 2026-03-14"),
        ("2026", "on 14.03.2026"),
        ("1400", "from 1345-1400"),
    ],
)
def test_a_claim_in_another_notation_is_the_same_claim(claim: str, text: str) -> None:
    assert shows(text, claim)


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("1204", "1205"),
        ("1204", "12045"),
        ("120", "1204"),
        ("12.5", "125"),
        ("2026-03-14", "2026-03-15"),
        ("2026-03-14", "2025-03-14"),
        ("125", "12.5"),
        ("125", "12,5"),
        ("345", "12,345"),
        ("anna@example.org", "hanna@example.org"),
        ("https://example.org/a", "https://example.org/another"),
        ("the sea is very calm", "the sea is calm"),
    ],
)
def test_a_claim_that_is_nearly_there_is_not_there(claim: str, text: str) -> None:
    assert not shows(text, claim)


@settings(deadline=None)
@given(number=st.integers(100, 10**9))
def test_thousands_may_be_parted_or_not(number: int) -> None:
    assert shows(f"it is {number:,} here", str(number))
    assert shows(f"it is {number} here", f"{number:,}")
    assert not shows(f"it is {number:,} here", str(number + 1))


@settings(deadline=None)
@given(day=st.dates())
def test_a_date_is_the_same_in_every_order(day: object) -> None:
    year, month, date = str(day).split("-")

    assert shows(f"{date}.{month}.{year}", str(day))
    assert shows(f"{int(month)}/{int(date)}/{year}", str(day))


def test_what_stands_in_none_of_the_texts_is_told_in_order() -> None:
    result = "Of 1204 votes 815 were for it, says https://example.org/x."

    assert unshown(result, ["1,204 votes", "see https://example.org/x"]) == ["815"]
    assert unshown(result, []) == ["https://example.org/x", "1204", "815"]
    assert unshown(result, ["1204", "815 https://example.org/x"]) == []


@settings(deadline=None)
@given(text=st.text(max_size=200))
def test_a_text_shows_all_that_it_states_itself(text: str) -> None:
    assert unshown(text, [text]) == []


# -- nothing was found -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result",
    [
        "It was not found.",
        "The date is not given in the file.",
        "The file does not say it.",
        "I couldn't open it.",
        "There is no such page.",
        "No results match.",
        "Nothing was there.",
        "The price is unknown.",
        "I was unable to read it.",
    ],
)
def test_a_result_that_admits_that_there_is_nothing_is_known_as_one(result: str) -> None:
    assert admits_nothing(result)


@pytest.mark.parametrize(
    "result",
    ["It is 1204.", "The note was written.", "Anna knows Norbert.", "They noted another one."],
)
def test_a_result_that_states_something_is_not(result: str) -> None:
    assert not admits_nothing(result)


@pytest.mark.parametrize(
    ("claim", "shown"), [("18.62", True), ("18.6", True), ("18.63", False), ("18.622727", True)]
)
def test_a_number_may_be_rounded(claim: str, shown: bool) -> None:
    assert shows("AVG(temperature)\n18.6227272727", claim) is shown
    assert not shows("18.6 degrees", "18.60001")


def test_the_lines_of_a_claim_and_of_a_name_are_found() -> None:
    seen = ["a.md:7:- Hugo Stein: 247\nb.md:2:- Hugo Stein keeps the room.\nc.md:1:Ola Berg: 214"]

    assert lines("It is 247.", seen) == ["a.md: - Hugo Stein: 247"]
    assert lines("Hugo Stein has 247.", seen) == [
        "a.md: - Hugo Stein: 247", "b.md: - Hugo Stein keeps the room.",
    ]  # fmt: skip
    assert lines("Somebody has it.", seen) == []
