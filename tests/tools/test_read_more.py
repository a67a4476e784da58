"""The rest of a result that was cut: shown by the same code that cut it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import ToolError, ToolRetry
from agentkit.outcomes import Returned
from agentkit.toolbox.output import show

Call = Callable[..., Any]

LONG = "".join(f"line {n} of a long answer, größer\n" for n in range(1000))


@pytest.fixture
def cut(context: Any) -> str:
    """What a model saw of a long result."""
    outcome = Returned(LONG)
    return show(
        outcome, "fetch_url", "abc234", budget=200, count=lambda t: len(t) // 4,
        folder=context.folder,
    ).text  # fmt: skip


def test_the_pages_together_are_the_whole_result(call: Call, cut: str) -> None:
    told = re.search(r'read_more\(id="(\w+)", page=1\) to page=(\d+)', cut)
    assert told is not None

    pages = [call("read_more", id=told[1], page=n + 1) for n in range(int(told[2]))]

    assert "".join(page.rpartition("\n[page ")[0] for page in pages) == LONG
    assert pages[0].endswith(f"\n[page 1 of {told[2]}]")


@pytest.mark.usefixtures("cut")
def test_a_page_that_does_not_exist(call: Call) -> None:
    with pytest.raises(ToolRetry, match="abc234 has the pages 1 to 12; there is no page 13"):
        call("read_more", id="abc234", page=13)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize(
    ("id", "hint"),
    [
        ("abc243", "did you mean 'abc234'"),
        ("x", "there are: abc234"),
        ("../notes", "no result has the id '../notes'"),
        ("", "no result has the id ''"),
    ],
)
def test_an_id_that_does_not_exist(call: Call, context: Any, id: str, hint: str) -> None:
    (context.folder / "notes.txt").write_text("no result of a tool")

    with pytest.raises(ToolRetry, match=hint):
        call("read_more", id=id)


def test_where_nothing_was_cut_there_is_no_more(call: Call) -> None:
    with pytest.raises(ToolRetry, match="what you saw of it is all of it"):
        call("read_more", id="abc234")


@pytest.mark.usefixtures("cut")
def test_a_link_among_the_results_leads_nowhere(call: Call, context: Any, elsewhere: Path) -> None:
    (context.folder / "tool-outputs" / "zzz.txt").symlink_to(elsewhere / "secret.txt")

    with pytest.raises(ToolError, match="may not be read"):
        call("read_more", id="zzz")
