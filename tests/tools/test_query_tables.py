"""Tables are asked in SQL, which reads them and does nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import Cancelled, ToolError, ToolRetry

Call = Callable[..., Any]

EXPENSES = "day,person,amount\n1,Lena,31.86\n2,Omar,\n3,Lena,8.14\n4,Ruth,-2\n"
CODES = "code;Preis (EUR);note\n007;1e3;nothing\n012;2.5;\n"


@pytest.fixture
def tables(context: Any) -> Path:
    folder: Path = context.folder
    (folder / "old").mkdir()
    for name, text in {
        "expenses.csv": EXPENSES,
        "order.csv": "item,pieces\nhinge,12\nlock,2\n",
        "prices.csv": "item,price\nhinge,2.40\nlock,18.90\n",
        "codes.csv": CODES,
        "visits.tsv": "who\twhere\nA, B\tOslo\n",
        "old/expenses.csv": "day,person,amount\n1,Kim,1\n",
        "notes.txt": "no table\n",
    }.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT SUM(amount) FROM expenses WHERE person = 'Lena'", "SUM(amount)\n40"),
        ("SELECT AVG(amount) AS middle FROM expenses", "middle\n12.6666666667"),
        ("SELECT COUNT(*) FROM expenses WHERE amount IS NULL;", "COUNT(*)\n1"),
        ("SELECT person FROM expenses.csv ORDER BY amount DESC LIMIT 1", "person\nLena"),
        ('SELECT person FROM "expenses.csv" WHERE day = 4', "person\nRuth"),
        ("SELECT SUM(price * pieces) FROM prices JOIN order ON prices.item = order.item",
         "SUM(price * pieces)\n66.6"),
        ("SELECT o.item FROM order o WHERE o.pieces > 2 ORDER BY o.item", "item\nhinge"),
        ('SELECT code, "Preis (EUR)" FROM codes', "code | Preis (EUR)\n007 | 1000\n012 | 2.5"),
        ("SELECT who FROM visits", "who\nA, B"),
        ("SELECT person FROM old_expenses", "person\nKim"),
        ("WITH few AS (SELECT day FROM expenses LIMIT 2) SELECT COUNT(*) FROM few", "COUNT(*)\n2"),
    ],
)  # fmt: skip
def test_a_question_is_answered(call: Call, sql: str, told: str) -> None:
    assert call("query_tables", sql=sql) == told


@pytest.mark.usefixtures("tables")
def test_where_nothing_matches_what_there_is_is_told(call: Call) -> None:
    assert call("query_tables", sql="SELECT SUM(amount) FROM expenses WHERE person = 'lena'") == (
        "no row matches\n[no value is 'lena'; there are person: Lena, Omar, Ruth]"
    )


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELECT amuont FROM expenses",
         'no such column: amuont did you mean "amount"?. There is: expenses(day, person, amount)'),
        ("SELECT * FROM expense", 'no such table: expense did you mean "expenses"?'),
        ("SELECT FROM expenses", "syntax error. There is: expenses(day, person, amount)"),
        ("SELECT 1; SELECT 2", "write one SELECT, and no other statement after it"),
        (" ; ", "sql is empty"),
        ("DELETE FROM expenses", "only reads"),
        ("PRAGMA writable_schema = 1", "only reads"),
        ("ATTACH 'x.db' AS x", "only reads"),
        ("VACUUM INTO 'x.db'", "only reads"),
        ("SELECT load_extension('x')", "only reads"),
        ("SELECT zeroblob(100000000)", "too big"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_with_what_there_is(
    call: Call, tables: Path, sql: str, hint: str
) -> None:
    with pytest.raises(ToolRetry) as fault:
        call("query_tables", sql=sql)

    assert hint in str(fault.value)
    assert not (tables / "x.db").exists()


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"


@pytest.mark.usefixtures("tables")
def test_a_query_that_would_never_end_is_ended(call: Call, context: Any) -> None:
    context.settings["seconds"] = 0.01
    with pytest.raises(ToolRetry, match="took too long"):
        call("query_tables", sql=ENDLESS)

    context.cancel.cancel()
    with pytest.raises(Cancelled):
        call("query_tables", sql=ENDLESS)


def test_more_rows_than_can_be_shown_are_told_of(call: Call, context: Any) -> None:
    rows = "\n".join(map(str, range(80)))
    (context.folder / "many.csv").write_text(f"n\n{rows}\n")

    told = call("query_tables", sql="SELECT n FROM many").splitlines()

    assert (told[1], told[50]) == ("0", "49")
    assert told[51:] == ["[there are more than 50 rows: ask for fewer]"]


def test_a_head_with_gaps_and_rows_of_other_lengths(call: Call, context: Any) -> None:
    (context.folder / "odd.csv").write_text('a,,a\n1,2,3,4\n5\n\n"x\ny",,\n')

    assert call("query_tables", sql="SELECT * FROM odd") == (
        "a | column2 | a_3\n1 | 2 | 3\n5 | None | None\nx y | None | None"
    )


def test_what_is_no_table_is_told(call: Call, context: Any) -> None:
    with pytest.raises(ToolRetry, match="there is no table in"):
        call("query_tables", sql="SELECT 1")
    with pytest.raises(ToolRetry, match=r"there is no 'x.csv'"):
        call("query_tables", sql="SELECT 1", path="x.csv")
    (context.folder / "a.csv").write_bytes(b"a\0b")
    with pytest.raises(ToolError, match="no text"):
        call("query_tables", sql="SELECT * FROM a")


def test_other_folders_are_read_only_where_that_is_granted(
    call: Call, elsewhere: Path, context: Any
) -> None:
    (elsewhere / "secret.csv").write_text("a\n1\n")
    (context.folder / "link.csv").symlink_to(elsewhere / "secret.csv")

    with pytest.raises(ToolError, match="may not be read"):
        call("query_tables", sql="SELECT * FROM secret", path=str(elsewhere))
    with pytest.raises(ToolError, match="may not be read"):
        call("query_tables", sql="SELECT * FROM link")
