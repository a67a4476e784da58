"""The words of the language, each done: order, groups, loops, failures, people, other workflows."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agentkit import events as ev
from agentkit.cancel import CancelToken
from agentkit.errors import (
    ApprovalNeeded,
    Cancelled,
    InvalidFile,
    InvalidInput,
    Skipped,
    StepFailed,
    TimedOut,
    UserError,
)
from agentkit.runtime import Runtime

Flow = Callable[..., "Played"]


class Played:
    """A runtime of its own, and what was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[ev.Event] = []

    def write(self, text: str, name: str = "flow") -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(text if text.startswith("name:") else f"name: {name}\n{text}")
        return path

    def run(self, text: str, **inputs: Any) -> dict[str, Any]:
        path = self.write(text)
        with Runtime() as runtime:
            return runtime.run(
                runtime.workflow(str(path)), inputs, subscribers=(self.events.append,)
            )

    def resume(self, **how: Any) -> dict[str, Any]:
        with Runtime() as runtime:
            return runtime.resume("last", subscribers=(self.events.append,), **how)

    def began(self) -> list[str]:
        """The steps that were at work, in order."""
        return [
            f"{e.step}[{e.key}]" if e.key else e.step
            for e in self.events
            if isinstance(e, ev.StepStarted)
        ]


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    (tmp_path / "workflows").mkdir()
    (tmp_path / "tools").mkdir()
    monkeypatch.chdir(tmp_path)
    home = Path(os.environ["AGENTKIT_HOME"])
    (home / "tools").mkdir(parents=True)
    (home / "tools" / "flaky.py").write_text(FLAKY)
    return Played(tmp_path)


FLAKY = '''\
"""A tool that fails a number of times."""

from pathlib import Path

from agentkit import ToolContext, tool
from agentkit.errors import ToolError


@tool
def flaky(times: int, *, context: ToolContext) -> str:
    """Fail so many times, then work.

    Args:
        times: How often.
    """
    count = context.folder / "count"
    seen = int(count.read_text()) if count.exists() else 0
    count.write_text(str(seen + 1))
    if seen < times:
        raise ToolError(f"failure {seen + 1}")
    return f"after {seen}"


@tool
def echo(text: str) -> str:
    """Say it again.

    Args:
        text: What.
    """
    if text == "bad":
        raise ToolError("it is bad")
    return text
'''


def test_steps_that_need_nothing_run_beside_each_other(flow: Played) -> None:
    outputs = flow.run(
        """
steps:
  - {id: a, uses: echo, with: {text: a}}
  - {id: b, uses: echo, with: {text: b}}
  - {id: c, needs: [a, b], uses: echo, with: {text: "${{ steps.a.outputs ~ steps.b.outputs }}"}}
outputs: {c: "${{ steps.c.outputs }}"}
"""
    )

    assert outputs == {"c": "ab"}
    assert flow.began()[-1] == "c"


def test_a_failed_branch_does_not_stop_the_other(flow: Played) -> None:
    with pytest.raises(StepFailed, match="it is bad"):
        flow.run(
            """
steps:
  - {id: bad, uses: echo, with: {text: bad}}
  - {id: good, uses: echo, with: {text: fine}}
  - {id: after_bad, needs: [bad], uses: echo, with: {text: never}}
  - {id: after_good, needs: [good], uses: echo, with: {text: fine}}
"""
        )

    assert sorted(flow.began()) == ["after_good", "bad", "good"]


def test_a_group_gives_what_its_steps_gave(flow: Played) -> None:
    outputs = flow.run(
        """
inputs: {words: {type: list, default: [x, bad, y]}}
steps:
  - id: each
    foreach:
      {items: "${{ inputs.words }}", as: word, key: "${{ word }}", max_parallel: 3,
       on_error: continue}
    steps:
      - {id: first, uses: echo, with: {text: "${{ word }}"}}
      - {id: second, if: "${{ word == 'x' }}", uses: echo,
         with: {text: "${{ steps.first.outputs | upper }}"}}
outputs: {all: "${{ steps.each.outputs }}"}
"""
    )

    assert outputs == {"all": [{"first": "x", "second": "X"}, None, {"first": "y", "second": None}]}


def test_two_items_of_one_key_are_an_error_that_names_both(flow: Played) -> None:
    with pytest.raises(StepFailed, match=r"flow.yaml:5:38.*items 0 and 2 .* same key 'a'"):
        flow.run(
            """
steps:
  - id: each
    foreach: {items: [a, b, a], key: "${{ item }}"}
    uses: echo
    with: {text: x}
"""
        )


def test_retry_tries_again(flow: Played) -> None:
    outputs = flow.run(
        """
steps:
  - {id: try, uses: flaky, with: {times: 2}, retry: {max_attempts: 3, delay: 1ms}}
outputs: {said: "${{ steps.try.outputs }}"}
"""
    )

    assert outputs == {"said": "after 2"}
    with Runtime() as runtime:
        run = runtime.journal.run("last").id
        attempts = runtime.journal.attempts(run)
    assert [(a.number, a.status, a.error) for a in attempts] == [
        (1, "failed", "failure 1"),
        (2, "failed", "failure 2"),
        (3, "succeeded", ""),
    ]


def test_each_attempt_waits_for_a_place_of_its_own(flow: Played) -> None:
    retry = "queue: gpu, retry: {max_attempts: 2, delay: 1ms}"
    outputs = flow.run(f"""
steps:
  - {{id: one, needs: [], uses: flaky, with: {{times: 1}}, {retry}}}
  - {{id: two, needs: [], uses: echo, with: {{text: x}}, queue: gpu}}
outputs: {{said: "${{{{ steps.one.outputs ~ steps.two.outputs }}}}"}}
""")

    assert outputs == {"said": "after 1x"}


def test_a_queue_that_settings_do_not_have_is_found_before_a_run(flow: Played) -> None:
    with pytest.raises(InvalidFile, match=r'there is no queue "cpu". did you mean "gpu"'):
        flow.run("steps:\n  - {id: a, uses: echo, with: {text: x}, queue: cpu}\n")


def test_on_error_continue_leaves_the_error_to_read(flow: Played) -> None:
    outputs = flow.run(
        """
steps:
  - {id: bad, uses: echo, with: {text: bad}, on_error: continue}
  - {id: next, uses: echo, with: {text: "${{ steps.bad.status ~ ': ' ~ steps.bad.error }}"}}
outputs: {said: "${{ steps.next.outputs }}", nothing: "${{ steps.bad.outputs }}"}
"""
    )

    assert outputs == {"said": "failed: it is bad", "nothing": None}


def test_what_follows_a_failure_knows_it_and_the_end_comes_always(flow: Played) -> None:
    with pytest.raises(StepFailed, match="it is bad"):
        flow.run(
            """
steps:
  - {id: good, uses: echo, with: {text: fine}}
  - {id: bad, uses: echo, with: {text: bad}}
  - {id: never, uses: echo, with: {text: never}}
on_failure:
  - {id: tell, uses: echo,
     with: {text: "${{ error.step ~ ': ' ~ error.message ~ ' after ' ~ steps.good.outputs }}"}}
finally:
  - {id: end, uses: echo, with: {text: "${{ steps.never.status }}"}}
"""
        )

    with Runtime() as runtime:
        steps = {s.step: s.outputs for s in runtime.journal.steps(runtime.journal.run("last").id)}
    assert steps["tell"] == "bad: it is bad after fine"
    assert steps["end"] == "skipped"


def test_the_end_comes_after_a_cancel_too(flow: Played) -> None:
    path = flow.write(
        """
steps:
  - {id: one, uses: echo, with: {text: x}}
  - {id: two, uses: echo, with: {text: x}}
finally:
  - {id: end, uses: echo, with: {text: "${{ error.message }}"}}
"""
    )
    cancel = CancelToken()

    def stop(event: ev.Event) -> None:
        flow.events.append(event)
        if isinstance(event, ev.StepFinished) and event.step == "one":
            cancel.cancel("enough")

    with Runtime() as runtime, pytest.raises(Cancelled):
        runtime.run(runtime.workflow(str(path)), {}, cancel=cancel, subscribers=(stop,))

    assert flow.began() == ["one", "end"]


def test_a_script_gets_values_by_its_environment(flow: Played) -> None:
    outputs = flow.run(
        """
env: {GREETING: hello}
inputs: {who: {default: "'; rm -rf / #"}}
steps:
  - id: bash
    run: echo "$GREETING, $WHO"; echo made > made.txt
    env: {WHO: "${{ inputs.who }}"}
  - id: python
    run: {python: "import json; print(json.dumps({'made': open('made.txt').read().strip()}))"}
    output_schema: {type: object, required: [made]}
outputs: {said: "${{ steps.bash.outputs.text }}", made: "${{ steps.python.outputs.made }}"}
"""
    )

    assert outputs == {"said": "hello, '; rm -rf / #", "made": "made"}


def test_a_script_that_fails_says_what_it_said(flow: Played) -> None:
    with pytest.raises(StepFailed, match=r"exit code 3\nno such thing"):
        flow.run("steps:\n  - {id: a, run: 'echo no such thing >&2; exit 3'}\n")


def test_a_script_that_takes_too_long_is_ended(flow: Played) -> None:
    with pytest.raises(StepFailed, match=r"it took (too long|longer than 300 ms)"):
        flow.run("steps:\n  - {id: a, run: sleep 60, timeout: 300ms}\n")


def test_a_run_that_takes_too_long_is_ended(flow: Played) -> None:
    with pytest.raises(TimedOut, match=r"flow.yaml:2:10: the run took longer than 300 ms"):
        flow.run("timeout: 300ms\nsteps:\n  - {id: a, run: sleep 60}\n")


ASKS = """
steps:
  - {id: before, uses: echo, with: {text: x}}
  - id: ask
    approve: {text: "Send ${{ steps.before.outputs }}?", choices: [send, stop]ON_REJECT}
  - {id: after, uses: echo, with: {text: "${{ steps.ask.outputs.answer }}"}}
outputs: {said: "${{ steps.after.outputs }}", yes: "${{ steps.ask.outputs.approved }}"}
"""


def answer(said: str) -> None:
    from agentkit.toolbox.approvals import settle

    with Runtime() as runtime:
        desk = runtime.journal.desk
        settle(desk, desk.requests(open_only=True)[0], said)


def test_a_question_parks_the_run_and_its_answer_lets_it_go_on(flow: Played) -> None:
    with pytest.raises(ApprovalNeeded, match=r"a person has to answer: Send x\?"):
        flow.run(ASKS.replace("ON_REJECT", ""))
    with Runtime() as runtime:
        assert runtime.journal.run("last").status == "parked"
    answer("send")

    assert flow.resume() == {"said": "send", "yes": True}
    assert flow.began().count("before") == 1


def test_a_no_fails_the_step(flow: Played) -> None:
    with pytest.raises(ApprovalNeeded):
        flow.run(ASKS.replace("ON_REJECT", ""))
    answer("stop")

    with pytest.raises(StepFailed, match="a person said 'stop'"):
        flow.resume()


def test_a_no_may_be_an_answer_like_any(flow: Played) -> None:
    with pytest.raises(ApprovalNeeded):
        flow.run(ASKS.replace("ON_REJECT", ", on_reject: continue"))
    answer("stop")

    assert flow.resume() == {"said": "stop", "yes": False}


def test_a_question_that_nobody_answers_in_time(flow: Played) -> None:
    with pytest.raises(ApprovalNeeded):
        flow.run(ASKS.replace("ON_REJECT", ", timeout: 1h, on_timeout: approve"))
    with pytest.raises(ApprovalNeeded):
        flow.resume()
    with sqlite3.connect(Path(os.environ["AGENTKIT_HOME"]) / "journal.sqlite") as journal:
        journal.execute("UPDATE requests SET asked = '2020-01-01T00:00:00+00:00'")
    journal.close()

    assert flow.resume() == {"said": "send", "yes": True}


def test_a_parked_run_says_when_it_wants_to_go_on(flow: Played) -> None:
    """Also where the question is one of a workflow that it uses; never where it stands for ever."""
    (flow.folder / "workflows" / "child.yaml").write_text("""\
name: child
steps:
  - {id: ask, approve: {text: In?, timeout: 2h}}
""")
    asks = "\nsteps:\n  - {id: ask, approve: {text: Out?, timeout: 1h}}\n"
    for text in (
        "\nsteps:\n  - {id: sub, uses: 'workflow:child'}\n",
        asks,
        asks.replace(", timeout: 1h", ""),
    ):
        with pytest.raises(ApprovalNeeded):
            flow.run(text)
    with Runtime() as runtime:
        _, second, first = (run.id for run in runtime.journal.runs())
        asked = {one.run: one.asked for one in runtime.journal.desk.requests()}
        hour = timedelta(hours=1)
        assert runtime.wakes() == [
            (second, asked[second] + hour),
            (first, asked[f"{first}.sub"] + 2 * hour),
        ]
    answer("approve")  # to the one that stands for ever: nothing changes
    answer("approve")
    with Runtime() as runtime:
        assert [run for run, _ in runtime.wakes()] == [first]


CHILD = """
name: child
inputs: {text: {type: string}}
steps:
  - {id: say, uses: echo, with: {text: "${{ inputs.text }}"}}
outputs: {said: "${{ steps.say.outputs | upper }}"}
"""


def test_a_workflow_uses_another_one(flow: Played) -> None:
    (flow.folder / "workflows" / "child.yaml").write_text(CHILD)

    outputs = flow.run(
        """
steps:
  - {id: sub, uses: "workflow:child", with: {text: hello}}
outputs: {said: "${{ steps.sub.outputs.said }}"}
"""
    )

    assert outputs == {"said": "HELLO"}
    with Runtime() as runtime:
        run = runtime.journal.run("last").id
        child = runtime.journal.run(f"{run}.sub")
    assert (child.parent, child.status, child.workflow) == (run, "succeeded", "child")


def test_a_failure_within_another_workflow_tells_both_places(flow: Played) -> None:
    (flow.folder / "workflows" / "child.yaml").write_text(CHILD)

    with pytest.raises(
        StepFailed,
        match=r"flow.yaml:4:5: step 'sub' failed: the workflow child failed: .*it is bad",
    ):
        flow.run("\nsteps:\n  - {id: sub, uses: 'workflow:child', with: {text: bad}}\n")


def test_workflows_that_a_run_uses_stay_as_they_were_when_it_began(flow: Played) -> None:
    folder = flow.folder / "workflows"
    (folder / "child.yaml").write_text("""\
name: child
steps:
  - {id: grand, uses: "workflow:grand"}
outputs: {said: "${{ steps.grand.outputs.said }}"}
""")
    (folder / "grand.yaml").write_text("""\
name: grand
steps:
  - {id: ask, approve: {text: "Grand?"}}
  - {id: say, uses: echo, with: {text: old}}
outputs: {said: "${{ steps.say.outputs }}"}
""")
    text = """
steps:
  - {id: ask, approve: Go on?}
  - {id: sub, uses: "workflow:child"}
outputs: {said: "${{ steps.sub.outputs.said }}"}
"""
    with pytest.raises(ApprovalNeeded):
        flow.run(text)
    (folder / "child.yaml").write_text("name: child\nsteps: []\n")
    (folder / "grand.yaml").unlink()
    answer("approve")
    with pytest.raises(ApprovalNeeded):
        flow.resume()
    answer("approve")

    assert flow.resume() == {"said": "old"}
    with Runtime() as runtime:
        source = runtime.journal.run(runtime.journal.run("last").id + ".sub.grand").source
    assert Path(source).resolve() == folder / "grand.yaml"


def test_a_workflow_that_uses_itself_ends(flow: Played) -> None:
    text = "name: again\nsteps:\n  - {id: again, uses: 'workflow:again'}\n"
    (flow.folder / "workflows" / "again.yaml").write_text(text)

    with pytest.raises(StepFailed, match="call each other 8 deep"):
        flow.run(text)


CACHED = """
inputs: {x: {type: string}}
steps:
  - {id: work, uses: flaky, with: {times: 0}, cache: {key: "${{ inputs.x }}"TTL}}
outputs: {said: "${{ steps.work.outputs }}"}
"""


def test_a_kept_result_is_taken_again_by_other_runs(flow: Played) -> None:
    for x in ("a", "b", "a"):
        assert flow.run(CACHED.replace("TTL", ""), x=x) == {"said": "after 0"}

    assert len(flow.began()) == 2
    kept = [e.cached for e in flow.events if isinstance(e, ev.StepFinished) and e.cached]
    assert len(kept) == 1


def test_a_step_that_was_edited_is_done_anew(flow: Played) -> None:
    flow.run(CACHED.replace("TTL", ""), x="a")
    flow.run(CACHED.replace("TTL", "").replace("times: 0", "times: -1"), x="a")

    assert len(flow.began()) == 2


def test_a_result_that_is_too_old_does_not_count(flow: Played) -> None:
    for _ in range(2):
        flow.run(CACHED.replace("TTL", ", ttl: 1ms"), x="a")

    assert len(flow.began()) == 2


def secret(name: str, value: str) -> None:
    file = Path(os.environ["AGENTKIT_HOME"]) / "token.txt"
    file.write_text(value)
    settings = Path(os.environ["AGENTKIT_HOME"]) / "settings.yaml"
    settings.write_text(f"secrets: {{{name}: {{file: {file}}}}}\n")


def test_a_secret_reaches_the_script_and_no_record(flow: Played) -> None:
    secret("TOKEN", "hunter2-hunter")

    outputs = flow.run(
        """
secrets: [TOKEN]
steps:
  - {id: use, run: 'test ${#T} = 14 && echo "it is $T"', env: {T: "${{ secrets.TOKEN }}"}}
outputs: {said: "${{ steps.use.outputs.text }}"}
"""
    )

    assert outputs == {"said": "it is ***"}  # what a resumed run would give
    with Runtime() as runtime:
        run = runtime.journal.run("last")
    files = Path(os.environ["AGENTKIT_HOME"]).glob("journal.sqlite*")
    assert not any(b"hunter2" in file.read_bytes() for file in files)
    assert run.outputs == {"said": "it is ***"}
    assert not any("it is hunter2" in str(event) for event in flow.events)


def test_a_secret_is_hidden_from_questions_and_in_runs_within(flow: Played) -> None:
    secret("TOKEN", "hunter2-hunter")
    child = CHILD.replace("type: string", "type: secret").replace(
        "\noutputs:", "\n  - {id: ask, approve: 'With ${{ steps.say.outputs }}?'}\noutputs:"
    )
    (flow.folder / "workflows" / "child.yaml").write_text(child)
    text = """
secrets: [TOKEN]
steps:
  - {id: sub, uses: "workflow:child", with: {text: "${{ secrets.TOKEN }}"}}
"""
    with pytest.raises(ApprovalNeeded, match=r"With \*\*\*\?"):
        flow.run(text)
    answer("approve")
    flow.resume()

    files = Path(os.environ["AGENTKIT_HOME"]).glob("journal.sqlite*")
    assert not any(b"hunter2" in file.read_bytes() for file in files)
    assert not any("hunter2" in str(event) for event in flow.events)


READS = """
secrets: [TOKEN]
steps:
  - {id: use, run: 'echo "it is $T"', env: {T: "${{ secrets.TOKEN }}"}CACHE}
  - id: fails
    run: 'echo "no $T" >&2; exit 1'
    env: {T: "${{ secrets.TOKEN }}"}
    on_error: continue
  - {id: ask, approve: Go on?}
  - {id: read, uses: echo, with: {text: "${{ steps.use.outputs.text }}"}}
  - {id: why, uses: echo, with: {text: "${{ steps.fails.error }}"}}
outputs: {said: "${{ steps.read.outputs }}", why: "${{ steps.why.outputs }}"}
"""


@pytest.mark.parametrize("way", ["straight", "parked", "cached"])
def test_later_steps_read_the_same_whichever_way_the_run_went(flow: Played, way: str) -> None:
    """The journal has no secret to give back, so that nobody may have read one before."""
    secret("TOKEN", "hunter2-hunter")
    text = READS.replace("CACHE", ", cache: {key: a}" if way == "cached" else "")
    if way == "parked":
        with pytest.raises(ApprovalNeeded):
            flow.run(text)
        answer("approve")
        outputs = flow.resume()
    else:
        text = text.replace("  - {id: ask, approve: Go on?}\n", "")
        outputs = flow.run(text)
    if way == "cached":
        assert flow.run(text) == outputs
        assert any(isinstance(e, ev.StepFinished) and e.cached for e in flow.events)

    assert outputs["said"] == "it is ***"
    assert "no ***" in outputs["why"]
    assert "hunter2" not in outputs["why"]


def test_an_input_that_holds_a_secret_is_the_same_when_the_run_goes_on(flow: Played) -> None:
    secret("TOKEN", "hunter2-hunter")
    text = """
inputs: {url: {type: string}}
secrets: [TOKEN]
steps:
  - {id: ASK, approve: Go on?}
  - {id: say, uses: echo, with: {text: "${{ inputs.url }}"}}
outputs: {said: "${{ steps.say.outputs }}"}
"""
    url = "http://me:hunter2-hunter@host"
    straight = flow.run(text.replace("  - {id: ASK, approve: Go on?}\n", ""), url=url)
    with pytest.raises(ApprovalNeeded):
        flow.run(text.replace("ASK", "ask"), url=url)
    answer("approve")

    assert flow.resume() == straight == {"said": "http://me:***@host"}


def test_what_follows_a_failure_is_told_no_secret(flow: Played) -> None:
    secret("TOKEN", "hunter2-hunter")
    with pytest.raises(StepFailed) as failure:
        flow.run("""
secrets: [TOKEN]
steps:
  - {id: a, run: 'echo "no $T" >&2; exit 1', env: {T: "${{ secrets.TOKEN }}"}}
on_failure:
  - {id: tell, uses: echo, with: {text: "${{ error.message }}"}}
""")

    assert "no ***" in str(failure.value)
    told = [e.outputs for e in flow.events if isinstance(e, ev.StepFinished) and e.step == "tell"]
    assert len(told) == 1
    assert "no ***" in told[0]


@pytest.mark.parametrize("value", ['hunter2-secret"q', "hunter2\nsecond-line", "hünter2 's & co"])
def test_a_secret_that_a_program_escapes_is_on_no_record(flow: Played, value: str) -> None:
    secret("TOKEN", value)
    outputs = flow.run(
        """
secrets: [TOKEN]
steps:
  - id: use
    env: {T: "${{ secrets.TOKEN }}"}
    run:
      python: |
        import base64, json, os, shlex, urllib.parse
        t = os.environ["T"]
        print(json.dumps({"t": t}))
        print(json.dumps({"t": t}, ensure_ascii=False))
        print(repr(t))
        print(shlex.quote(t))
        print(urllib.parse.quote(t), urllib.parse.quote_plus(t))
        print(base64.b64encode(("me:" + t + "!").encode()).decode())
outputs: {said: "${{ steps.use.outputs.text }}"}
"""
    )

    files = Path(os.environ["AGENTKIT_HOME"]).glob("journal.sqlite*")
    assert "nter2" not in outputs["said"]
    assert outputs["said"].count("***") == 7
    assert not any(b"nter2" in file.read_bytes() for file in files)


def test_a_secret_that_settings_do_not_have_is_named_before_anything_runs(flow: Played) -> None:
    with pytest.raises(UserError, match="needs the secret TOKEN, and settings do not say") as no:
        flow.run("secrets: [TOKEN]\nsteps:\n  - {id: a, uses: echo, with: {text: x}}\n")

    assert no.value.hint == "add to settings.yaml: secrets: {TOKEN: {env: TOKEN}}"
    assert flow.events == []


def test_a_secret_input_has_to_be_given_again(flow: Played) -> None:
    text = """
inputs: {key: {type: secret}}
steps:
  - {id: ask, approve: Go on?}
  - {id: use, run: 'test "$K" = sesame-sesame', env: {K: "${{ inputs.key }}"}}
"""
    with pytest.raises(ApprovalNeeded):
        flow.run(text, key="sesame-sesame")
    answer("approve")

    with pytest.raises(InvalidInput, match=r"is secret and on no record: -i key=\.\.\."):
        flow.resume()
    flow.resume(given={"key": "sesame-sesame"})
    with Runtime() as runtime:
        assert runtime.journal.run("last").inputs == {"key": "***"}


def test_one_run_of_a_group_at_a_time(flow: Played) -> None:
    text = """
concurrency: {group: only, on_conflict: ON}
steps:
  - {id: a, uses: echo, with: {text: x}}
"""
    path = flow.write(text.replace("ON", "queue"))
    said: list[str] = []

    def second(event: ev.Event) -> None:
        if isinstance(event, ev.StepStarted):
            for way, error in (("skip", Skipped), ("fail", UserError)):
                with pytest.raises(error, match="of the same group is at work"):
                    Played(flow.folder / "workflows").run(text.replace("ON", way))
                said.append(way)

    with Runtime() as runtime:
        runtime.run(runtime.workflow(str(path)), {}, subscribers=(second,))

    assert said == ["skip", "fail"]
    assert flow.run(text.replace("ON", "fail")) == {}


def test_a_prompt_in_a_file_of_its_own_is_kept_with_the_run(flow: Played) -> None:
    (flow.folder / "ask.md").write_text("How is ${{ inputs.who }}?")
    path = flow.write(
        "inputs: {who: {default: Ann}}\nsteps:\n  - {id: a, prompt: {file: ask.md}}\n"
    )

    with Runtime() as runtime:
        assert runtime.workflow(str(path)).files == {"ask.md": "How is ${{ inputs.who }}?"}
    (flow.folder / "ask.md").write_text("How is ${{ inputs.whom }}?")
    with (
        Runtime() as runtime,
        pytest.raises(InvalidFile, match=r"ask.md:1:19: .*no input \"whom\""),
    ):
        runtime.workflow(str(path))


@pytest.mark.model
def test_tokens_are_counted_without_the_model(flow: Played, real_models: Path) -> None:
    text = """
inputs: {text: {}}
defaults: {prompt: {model: smollm2-135m}}
steps:
  - {id: a, uses: echo, with: {text: "${{ inputs.text | truncate_tokens(3) }}"}}
outputs: {short: "${{ steps.a.outputs }}"}
"""
    path = flow.write(text)
    with Runtime() as runtime:
        given = {"text": "one two three four"}
        assert runtime.run(runtime.workflow(str(path)), given) == {"short": "one two three"}
        assert not runtime.pool.holdings()


def test_a_retry_does_what_changed_or_failed_and_says_why(flow: Played) -> None:
    """Also within another workflow, whose finished steps stay as they are."""
    child = flow.folder / "workflows" / "child.yaml"
    child.write_text("""\
name: child
steps:
  - {id: done, uses: flaky, with: {times: 0}}
  - {id: bad, uses: calculate, with: {expression: 1 / 0}}
""")
    text = """
inputs: {who: {default: Ann}}
steps:
  - {id: one, uses: echo, with: {text: one}}
  - {id: two, uses: echo, with: {text: two}}
  - {id: three, uses: echo, with: {text: "${{ steps.two.outputs }}"}}
  - {id: four, foreach: {items: [x], key: "${{ item }}"}, uses: "workflow:child"}
outputs: {said: "${{ steps.three.outputs }}"}
"""
    with pytest.raises(StepFailed):
        flow.run(text)
    flow.events.clear()
    child.write_text(child.read_text().replace("1 / 0", "1 / 1"))
    text = text.replace("text: two", 'text: "${{ inputs.more }}"')
    flow.write(text.replace("who: {", "more: {default: zwei}, who: {"))

    with Runtime() as runtime:
        outputs = runtime.retry("last", edited=True, subscribers=(flow.events.append,))

    assert outputs == {"said": "zwei"}
    assert flow.began() == ["two", "three", "four[x]", "bad"]
    told = [event for event in flow.events if isinstance(event, ev.RunResumed)]
    assert dict(told[0].again) == {
        "two": "its text changed",
        "three": "it reads two, which is done again",
        "four": "the workflow child changed",
    }
    assert told[0].kept == ("one",)
    assert dict(told[1].again) == {"bad": "its text changed"}
    assert told[1].kept == ("done",)


def test_a_retry_of_all_that_failed_takes_up_what_was_let_pass(flow: Played) -> None:
    text = """
steps:
  - id: each
    foreach: {items: [a, b], on_error: continue}
    steps:
      - {id: name, uses: echo, with: {text: "${{ item }}"}}
      - {id: try, uses: flaky, with: {times: 2}}
"""
    flow.run(text)
    flow.events.clear()
    with Runtime() as runtime:
        runtime.retry("last", subscribers=(flow.events.append,))
        assert flow.began() == []
        runtime.retry("last", failed=True, subscribers=(flow.events.append,))
    assert set(flow.began()) == {"each[0]", "try[0]", "each[1]", "try[1]"}
