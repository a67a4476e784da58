"""What a retry does again, and the reason that is given for it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agentkit.records import Settled
from agentkit.toolbox import Tool
from agentkit.workflow.again import Told, again
from agentkit.workflow.others import words
from agentkit.yamlfile import load

FLOW = """\
name: flow
env: {LANG: C}
defaults: {prompt: {model: small}}
steps:
  - {id: find, uses: find, with: {path: notes}}
  - {id: write, run: echo "$X" > file, env: {X: "${{ steps.find.outputs }}"}}
  - {id: read, run: cat file}
  - {id: ask, prompt: "What of ${{ steps.find.outputs }}?"}
  - {id: free, prompt: {file: free.md}}
  - id: each
    foreach: {items: "${{ steps.find.outputs }}"KEY}
    steps:
      - {id: one, prompt: "One?"}
      - {id: two, prompt: "Two of ${{ steps.one.outputs }}?"}
  - {id: late, prompt: "${{ steps.each.outputs | length }}"}
  - {id: let, uses: find, with: {path: x}, on_error: continue}
  - {id: sub, uses: "workflow:child", with: {}}
finally:
  - {id: end, run: echo}
"""

FILES = {"free.md": "Free?", "workflow:child": "{}"}

DONE = {("find", ""): "succeeded", ("write", ""): "succeeded", ("read", ""): "succeeded",
        ("ask", ""): "succeeded", ("free", ""): "succeeded", ("each", ""): "succeeded",
        ("each", "0"): "succeeded", ("each", "1"): "succeeded", ("one", "0"): "succeeded",
        ("one", "1"): "succeeded", ("two", "0"): "succeeded", ("two", "1"): "succeeded",
        ("late", ""): "succeeded", ("let", ""): "failed", ("sub", ""): "succeeded"}  # fmt: skip

Rows = dict[tuple[str, str], str]


def told(text: str, files: Mapping[str, str] = FILES) -> Told:
    return Told(words(load(text.replace("KEY", ""), "flow.yaml")), files)


def why(
    text: str = FLOW,
    *,
    old: str = FLOW,
    files: Mapping[str, str] = FILES,
    start: str | None = None,
    failed: bool = False,
    **rows: str,
) -> dict[str, str]:
    """By step; `rows` are other statuses than that all went well."""
    tools: dict[str, Tool] = {}
    status = {**DONE, **{(name, ""): said for name, said in rows.items()}}
    done = {place: Settled(said, None) for place, said in status.items() if said}  # type: ignore[arg-type]
    found = again(told(old), told(text, files), tools, done, start=start, failed=failed)
    assert found.pop("end").why == "it ends every run"
    return {name: one.why for name, one in found.items()}


def edited(old: str, new: str) -> str:
    assert old in FLOW
    return FLOW.replace(old, new)


def test_nothing_is_done_again_that_nobody_touched() -> None:
    assert why() == {}
    for old, new in (
        ("id: ask,", "id: ask, name: A question, timeout: 5m,"),
        ("id: one,", "id: one, retry: 3, on_error: continue,"),
        ("KEY}", "KEY, max_parallel: 3}"),
    ):
        assert why(edited(old, new)) == {}


def test_what_failed_and_what_depends_on_it() -> None:
    assert why(late="failed") == {"late": "it failed"}
    assert why(write="failed", read="") == {"write": "it failed", "read": "it was not finished"}
    assert why(failed=True) == {"let": "it failed"}
    assert why(find="failed") == {
        "find": "it failed",
        "write": "it reads find, which is done again",
        "read": "it may read files of write, which is done again",
        "ask": "it reads find, which is done again",
        "each": "its items come from find, which is done again",
        "one": "the items of each may be others",
        "two": "it reads one, which is done again",
        "late": "it reads each, which is done again",
    }


def test_what_changed_and_what_depends_on_it() -> None:
    assert why(edited("Two of", "And two of")) == {
        "each": "two in it is done again",
        "two": "its text changed",
        "late": "it reads each, which is done again",
    }
    assert why(edited("id: free,", "id: new,")) == {"new": "it is new"}
    assert why(edited("LANG: C", "LANG: D")) == {
        "write": "env of the file changed",
        "read": "env of the file changed",
    }
    assert set(why(edited("model: small", "model: large"))) == {
        "ask", "free", "each", "one", "two", "late"
    }  # fmt: skip


def test_what_a_run_keeps_besides_its_text() -> None:
    assert why(files={**FILES, "free.md": "Freer?"}) == {"free": "the file of its prompt changed"}
    assert why(files={**FILES, "workflow:child": "{1}"}) == {"sub": "the workflow child changed"}


def test_a_run_within_begins_anew_where_its_inputs_may_be_others() -> None:
    reads = edited("with: {}}\n", 'with: {text: "${{ steps.find.outputs }}"}}\n')
    rows = {place: Settled("succeeded", None) for place in DONE}
    del rows["sub", ""]
    stays = again(told(reads), told(reads), {}, rows)["sub"]
    assert (stays.why, stays.anew) == ("it was not finished", False)

    rows["find", ""] = Settled("failed", None)
    anew = again(told(reads), told(reads), {}, rows)["sub"]
    assert (anew.why, anew.anew) == ("it reads find, which is done again", True)


def test_items_with_a_key_stay_where_only_the_list_changed() -> None:
    keyed = FLOW.replace("KEY", ', key: "${{ item }}"')
    changed = keyed.replace('items: "${{ steps.find.outputs }}"', "items: [a, b, c]")
    late = {"late": "it reads each, which is done again"}

    assert why(changed, old=keyed) == {"each": "its list of items changed", **late}
    found = again(
        told(keyed), told(changed), {}, {place: Settled("succeeded", None) for place in DONE}
    )
    assert found["each"].keys == frozenset({""})
    assert why(changed) == {
        "each": "its list of items changed",
        "one": "the items of each may be others",
        "two": "it reads one, which is done again",
        **late,
    }


def test_from_a_step_on() -> None:
    found = why(start="each")

    assert found["each"] == "you asked for it"
    assert found["two"] == found["sub"] == "it follows each"
    assert set(found) == {"each", "one", "two", "late", "let", "sub"}


def test_of_a_loop_only_the_items_that_failed() -> None:
    rows = {place: Settled("succeeded", None) for place in DONE}
    rows["two", "1"] = rows["each", "1"] = rows["each", ""] = Settled("failed", None)
    del rows["late", ""]
    found = again(told(FLOW), told(FLOW), {}, rows)

    assert found["two"].keys == frozenset({"1"})
    assert "one" not in found


@pytest.mark.parametrize("expression", ["answer in steps.find.outputs", "1 == 1"])
def test_checks_read_too(expression: str) -> None:
    text = edited(
        "id: free, prompt: {file: free.md}",
        f'id: free, prompt: Free?, checks: [{{expression: "{expression}"}}]',
    )
    assert ("free" in why(text, old=text, find="failed")) == ("steps" in expression)
