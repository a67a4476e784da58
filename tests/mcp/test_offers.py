"""What is offered, and under which names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentkit.config import ServerSettings, Settings
from agentkit.mcp.offers import NotOffered, Offers
from agentkit.runtime import Runtime

PROGRAMS = Path(__file__).parents[1] / "toolservers" / "programs"
WORKFLOW = "name: {}\nsteps:\n  - id: one\n    uses: now\n"


@pytest.fixture
def runtime(isolated_home: Path) -> Iterator[Runtime]:
    (isolated_home / "workflows").mkdir(parents=True)
    for name in ("daily", "two words"):
        text = WORKFLOW.format(name.replace(" ", "-"))
        (isolated_home / "workflows" / f"{name}.yaml").write_text(text)
    with Runtime() as runtime:
        yield runtime


def names(runtime: Runtime, *patterns: str) -> set[str]:
    return {offer.name for offer in Offers(runtime, patterns).all()}


def test_without_patterns_everything_is_offered(runtime: Runtime) -> None:
    assert {"now", "read_file", "workflow_daily"} <= names(runtime)


def test_patterns_narrow_what_is_offered(runtime: Runtime) -> None:
    assert names(runtime, "now") == {"now"}
    assert names(runtime, "now", "workflow_d*") == {"now", "workflow_daily"}
    assert names(runtime, "NOW") == set()
    assert names(runtime, "*") == names(runtime)


def test_what_servers_offer_is_passed_on_only_where_a_pattern_names_it(
    isolated_home: Path,
) -> None:
    program = [sys.executable, str(PROGRAMS), "nonsense"]
    servers = {"other": ServerSettings(command=program)}
    with Runtime(Settings(home=isolated_home, mcp=servers)) as runtime:
        assert "other__speak" not in names(runtime)
        assert "other__speak" not in names(runtime, "*")
        assert names(runtime, "other__*", "now") == {"other__speak", "now"}
        assert Offers(runtime, ["other__speak"]).find("other__speak").effects is not None


def test_listing_starts_no_server(isolated_home: Path, tmp_path: Path) -> None:
    """An agentkit that has itself as a server would start another one, and that another."""
    mark = tmp_path / "started"
    program = [sys.executable, "-c", f"open({str(mark)!r}, 'w')"]
    servers = {"other": ServerSettings(command=program)}
    with Runtime(Settings(home=isolated_home, mcp=servers)) as runtime:
        assert "now" in names(runtime)

    assert not mark.exists()


def test_a_name_that_clients_would_not_take_is_not_offered(runtime: Runtime) -> None:
    assert not any(" " in name for name in names(runtime))


def test_what_is_not_offered_is_not_found(runtime: Runtime) -> None:
    offers = Offers(runtime, ["now", "workflow_daily"])
    assert offers.find("now").effects == ()
    assert offers.find("workflow_daily").workflow == "daily"
    for name in ("read_file", "daily", "workflow_meeting-notes", "workflow_two words", ""):
        with pytest.raises(NotOffered):
            offers.find(name)
    with pytest.raises(NotOffered, match='did you mean "now"'):
        offers.find("nov")


def test_a_tool_that_has_the_name_of_a_workflow_comes_first(
    runtime: Runtime, isolated_home: Path
) -> None:
    (isolated_home / "tools").mkdir()
    (isolated_home / "tools" / "daily.py").write_text(
        'from agentkit import tool\n@tool\ndef workflow_daily() -> None:\n    """A tool."""\n'
    )
    offers = Offers(runtime)
    (offer,) = [offer for offer in offers.all() if offer.name == "workflow_daily"]
    assert (offer.description, offers.find("workflow_daily").workflow) == ("A tool.", "")
