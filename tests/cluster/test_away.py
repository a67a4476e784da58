"""Steps that another machine does: what travels, what comes back, and who may do what."""

from __future__ import annotations

import hashlib
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentkit import events as ev
from agentkit.cancel import CancelToken
from agentkit.config import Settings
from agentkit.errors import PromptTooLong, StepFailed, ToolError
from agentkit.messages import ChatRequest, Delta, Message
from agentkit.runtime import Runtime
from agentkit.runtime.away import There
from agentkit.runtime.workplace import LocalWorkplace
from agentkit.testing import ScriptedModel, ScriptedTranscriber
from agentkit.workflow import attempts

from .near import NearWorkers


class Pair:
    """A coordinator, and the box that does the steps of the queue `box`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.folder = folder
        cluster = {"queues": {"box": {"resource": "box"}}, **settings.pop("cluster", {})}
        here = Settings(home=folder / "here", cluster=cluster, **settings.pop("here", {}))
        self.runtime = Runtime(here)
        self.box = Runtime(Settings(home=folder / "box", **settings))
        self.near = NearWorkers.of(LocalWorkplace(self.box))
        self.runtime.__dict__["workers"] = self.near
        self.events: list[ev.Event] = []
        self.model = ScriptedModel("said on the box")
        monkeypatch.setattr(self.box, "chat", lambda name=None: self.model)
        ears = ScriptedTranscriber({"talk.wav": "hello there"})
        monkeypatch.setattr(self.box, "transcriber", lambda name=None: ears)

    def run(self, steps: str, **inputs: str) -> dict[str, Any]:
        path = self.folder / "w.yaml"
        declared = "".join(f"  {name}: {{type: file}}\n" for name in inputs)
        head = "version: 1\nname: w\n" + ("inputs:\n" + declared if inputs else "")
        path.write_text(head + steps)
        self.events.clear()
        workflow = self.runtime.workflow(str(path))
        return self.runtime.run(workflow, inputs, subscribers=(self.events.append,))

    def told(self, kind: type[ev.Event]) -> list[Any]:
        return [event for event in self.events if type(event) is kind]

    @property
    def run_folder(self) -> Path:
        return self.runtime.settings.runs_folder / self.events[0].run

    def close(self) -> None:
        self.runtime.close()
        self.box.close()


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("AGENTKIT_HOME")  # both have one of their own
    monkeypatch.setattr(attempts, "LOST", attempts.LOST.model_copy(update={"delay": 0.01}))
    made: list[Pair] = []

    def make(**settings: Any) -> Pair:
        made.append(Pair(tmp_path, monkeypatch, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


Make = Callable[..., Pair]

WHERE = """
from agentkit import ToolContext, tool
from agentkit.errors import ToolError
from agentkit.permissions import ReadPath

@tool(effects=("reads",))
def where(path: ReadPath, *, context: ToolContext) -> str:
    "Tell where things are."
    raise ToolError(f"seen {context.folder} and {path}")
"""

PEEK = """
from agentkit import ToolContext, tool

@tool
def peek(path: str, *, context: ToolContext) -> str:
    "Read a file that its arguments do not declare."
    return context.files.read(path).decode()
"""

MINE = """
from agentkit import tool

@tool
def mine(x: int) -> int:
    "It."
    return x
"""


def put_tool(folder: Path, name: str, text: str, *homes: str) -> None:
    for home in homes or ("here", "box"):
        tools = folder / home / "tools"
        tools.mkdir(parents=True, exist_ok=True)
        (tools / f"{name}.py").write_text(text)


TRANSCRIBE = """
steps:
  - {id: heard, queue: box, uses: transcribe, with: {audio: "${{ inputs.audio }}"}}
outputs: {text: "${{ steps.heard.outputs.text }}"}
"""

TWO_SCRIPTS = """
steps:
  - id: first
    run: {bash: "echo one > a.txt; echo gone > b.txt; mkdir d; echo deep > d/c.txt"}
  - id: second
    queue: box
    run: {bash: "cat a.txt d/c.txt; rm b.txt; echo two >> a.txt; echo new > e.sh; chmod +x e.sh"}
outputs: {text: "${{ steps.second.outputs.text }}"}
"""


def test_a_recording_travels_once_and_is_heard_there(pair: Make, tmp_path: Path) -> None:
    both = pair()
    audio = tmp_path / "talk.wav"
    audio.write_bytes(b"RIFF" + bytes(9_000_000))

    for _ in range(2):
        assert both.run(TRANSCRIBE, audio=str(audio)) == {"text": "hello there"}

    assert both.near.link.count("keep") == 3  # pieces of 4 MB, of the first run
    assert [event.machine for event in both.told(ev.StepPlaced)] == ["box"]
    assert not [*(tmp_path / "box" / "cluster" / "work").rglob("*.wav")]


def test_the_folder_of_the_run_is_there_and_comes_back_changed(pair: Make) -> None:
    both = pair()

    assert both.run(TWO_SCRIPTS) == {"text": "one\ndeep"}

    folder = both.run_folder
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert found == {"a.txt", "d/c.txt", "e.sh"}
    assert (folder / "a.txt").read_text() == "one\ntwo\n"
    assert (folder / "e.sh").stat().st_mode & 0o100
    made = [event for event in both.told(ev.ArtifactMade) if event.step == "second"]
    assert {event.path: event.sha256 for event in made} == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("a.txt", "e.sh")
    }


OVERLAPPING = """
steps:
  - id: first
    run: {bash: "echo one > a.txt; echo one > b.txt; mkdir d; echo one > d/c.txt"}
  - {id: second, queue: box, run: {bash: "SCRIPT"}}
"""


@pytest.mark.parametrize(
    ("script", "here", "conflict"),
    [
        ("echo two > a.txt; echo two > b.txt", {"a.txt": "three\n"}, "a.txt"),
        ("rm a.txt; echo two > b.txt", {"a.txt": "three\n"}, "a.txt"),
        ("echo two > a.txt; echo two > b.txt", {"a.txt": None}, "a.txt"),
        ("echo two > new.txt; rm b.txt", {"new.txt": "three\n"}, "new.txt"),
        ("rm -r d; echo two > d", {"d/new.txt": "three\n"}, "d"),
        ("echo two > a.txt", {"a.txt": "two\n"}, ""),
        ("rm a.txt", {"a.txt": None}, ""),
        ("rm -r d; echo two > d; rm a.txt; mkdir a.txt; echo > a.txt/x", {"b.txt": "three\n"}, ""),
    ],
)
def test_what_somebody_changed_here_meanwhile_is_not_overwritten(
    pair: Make, script: str, here: dict[str, str | None], conflict: str
) -> None:
    both = pair()
    after: dict[str, str] = {}

    def change() -> None:
        for name, text in here.items():
            place = both.run_folder / name
            place.unlink() if text is None else place.write_text(text)
        after.update(_texts(both.run_folder))

    both.near.link.meanwhile = change
    if not conflict:
        both.run(OVERLAPPING.replace("SCRIPT", script))
        there = {"d": "two\n", "a.txt/x": "\n"} if "-r d" in script else {}
        gone = {"a.txt", "d/c.txt"} if there else set()
        assert _texts(both.run_folder) == {
            name: text for name, text in (after | there).items() if name not in gone
        }
        return
    with pytest.raises(StepFailed, match=f"second and something .* changed {conflict}"):
        both.run(OVERLAPPING.replace("SCRIPT", script))
    assert _texts(both.run_folder) == after


def _texts(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


TWO_AT_A_TIME = """
steps:
  - id: there
    queue: box
    retry: {max_attempts: 1, delay: 0s}
    needs: []
    run: {bash: "echo there >> report.txt"}
  - {id: here, needs: [], run: {bash: "echo here >> report.txt"}}
"""


@pytest.mark.parametrize("attempts_made", [1, 2])
def test_a_step_there_and_one_here_that_changed_the_same_file(
    pair: Make, attempts_made: int
) -> None:
    """The second attempt begins with what the one here has made."""
    both = pair()
    done = threading.Event()
    both.near.link.meanwhile = lambda: _wait(done)

    def run() -> None:
        steps = TWO_AT_A_TIME.replace("max_attempts: 1", f"max_attempts: {attempts_made}")
        path = both.folder / "w.yaml"
        path.write_text("name: w\n" + steps)

        def listen(event: ev.Event) -> None:
            both.events.append(event)
            if isinstance(event, ev.StepFinished) and event.step == "here":
                done.set()

        both.runtime.run(both.runtime.workflow(str(path)), {}, subscribers=(listen,))

    if attempts_made == 2:
        run()
        assert (both.run_folder / "report.txt").read_text() == "here\nthere\n"
        return
    with pytest.raises(StepFailed, match=r"steps here and there both changed report\.txt"):
        run()
    assert (both.run_folder / "report.txt").read_text() == "here\n"
    assert not [*both.run_folder.parent.glob("*.~copies")]


def _wait(done: threading.Event) -> None:
    assert done.wait(60)


def test_files_of_a_script_that_failed_come_back_too(pair: Make) -> None:
    both = pair()

    with pytest.raises(StepFailed, match=r"exit code 3.*on box"):
        both.run("steps:\n- {id: a, queue: box, run: {bash: 'echo so far > log.txt; exit 3'}}")

    assert (both.run_folder / "log.txt").read_text() == "so far\n"


def test_paths_in_a_result_are_those_of_the_coordinator(pair: Make, tmp_path: Path) -> None:
    both = pair()
    given = tmp_path / "in.txt"
    given.write_text("x")
    put_tool(tmp_path, "where", WHERE)
    with pytest.raises(StepFailed, match="seen") as failed:
        both.run(
            "steps: [{id: a, queue: box, uses: where, with: {path: '${{ inputs.file }}'}}]",
            file=str(given),
        )
    assert f"seen {both.run_folder} and {given} (on box)" in str(failed.value)


def test_a_prompt_is_answered_by_the_model_there(pair: Make) -> None:
    both = pair()
    steps = """
steps: [{id: said, queue: box, prompt: {text: Say something}}]
outputs: {text: "${{ steps.said.outputs.text }}"}
"""
    assert both.run(steps) == {"text": "said on the box"}
    assert both.told(ev.StepStarted)[0].inputs["model"] == "scripted"
    assert both.told(ev.StepFinished)[0].usage is not None


def test_a_lost_machine_is_a_retried_attempt(pair: Make) -> None:
    both = pair()
    both.near.link.lose = "news"
    both.run("steps: [{id: a, queue: box, run: {bash: echo hi}}]")

    (retried,) = both.told(ev.StepRetried)
    assert retried.error == "the worker on box was lost: it was unplugged"
    calls = both.runtime.journal.calls(both.events[0].run)
    assert [call.status for call in calls] == ["cancelled", "returned"]
    attempts_made = both.runtime.journal.attempts(both.events[0].run)
    assert [one.status for one in attempts_made] == ["failed", "succeeded"]


def test_a_machine_that_is_lost_again_and_again_is_a_failure(
    pair: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = pair()
    monkeypatch.setattr(type(both.near.link), "lose", property(lambda s: "news", lambda s, v: None))
    with pytest.raises(StepFailed, match="unplugged"):
        both.run("steps: [{id: a, queue: box, run: {bash: echo hi}}]")
    assert len(both.told(ev.StepRetried)) == 3


def test_a_file_that_arrives_as_another_is_not_taken(pair: Make) -> None:
    both = pair()
    both.near.link.damage = True
    with pytest.raises(StepFailed, match=r"'out.txt' was damaged on its way from box"):
        both.run("steps: [{id: a, queue: box, run: {bash: echo abc > out.txt}}]")
    assert [*both.run_folder.iterdir()] == []


def test_what_settings_of_the_machine_do_not_allow_is_refused_with_its_name(
    pair: Make, tmp_path: Path
) -> None:
    both = pair(
        here={"permissions": {"interactive": {"tools": {"fetch_url": "allow"}}}},
    )
    steps = "steps: [{id: a, queue: box, uses: fetch_url, with: {url: 'https://example.org/'}}]"
    with pytest.raises(StepFailed, match=r"fetch_url would talk to .*not allowed there.*on box"):
        both.run(steps)
    assert not (tmp_path / "box" / "journal.sqlite").exists()


def test_a_machine_does_not_widen_what_the_coordinator_allows(pair: Make) -> None:
    """What its own settings would allow, it is not asked for."""
    both = pair(
        here={"permissions": {"interactive": {"otherwise": "deny"}}},
        permissions={"unattended": {"tools": {"fetch_url": "allow"}, "hosts": ["*"]}},
    )
    steps = "steps: [{id: a, queue: box, uses: fetch_url, with: {url: 'https://example.org/'}}]"
    with pytest.raises(StepFailed, match="settings deny"):
        both.run(steps)
    assert both.near.link.count("begin") == 0


def test_a_tool_reads_nothing_there_that_it_was_not_handed(pair: Make, tmp_path: Path) -> None:
    """Though the settings there would let it: the machine that asks granted no such folder."""
    secret = tmp_path / "box" / "diary.txt"
    both = pair(permissions={"unattended": {"read": [str(tmp_path)]}})
    put_tool(tmp_path, "peek", PEEK)
    secret.write_text("dear diary")
    with pytest.raises(StepFailed, match="may not be read"):
        both.run(f"steps: [{{id: a, queue: box, uses: peek, with: {{path: {secret}}}}}]")


def test_a_tool_has_to_be_the_same_there(pair: Make, tmp_path: Path) -> None:
    both = pair()
    put_tool(tmp_path, "mine", MINE, "here")
    steps = "steps: [{id: a, queue: box, uses: mine, with: {x: 1}}]"
    with pytest.raises(StepFailed, match="there is no tool 'mine' on this machine"):
        both.run(steps)
    put_tool(tmp_path, "mine", MINE.replace("int", "str"), "box")
    with pytest.raises(StepFailed, match="takes other arguments on this machine"):
        both.run(steps)


def test_what_is_too_large_does_not_travel(pair: Make, tmp_path: Path) -> None:
    both = pair(cluster={"largest": 1000})
    (tmp_path / "talk.wav").write_bytes(bytes(2000))
    with pytest.raises(StepFailed, match="2 kB of files would travel to box, and 1 kB may"):
        both.run(TRANSCRIBE, audio=str(tmp_path / "talk.wav"))
    with pytest.raises(StepFailed, match="would come back from box"):
        both.run("steps: [{id: a, queue: box, run: {bash: 'head -c 2000 /dev/zero > x'}}]")


def test_a_step_there_writes_only_into_the_folder_of_the_run(pair: Make, tmp_path: Path) -> None:
    allowed = {"permissions": {"interactive": {"write": [str(tmp_path)]}}}
    both = pair(here=allowed)
    out = tmp_path / "elsewhere.txt"
    steps = f"steps: [{{id: a, queue: box, uses: write_file, with: {{path: {out}, content: x}}}}]"
    with pytest.raises(StepFailed, match="writes nowhere else"):
        both.run(steps)


def test_nobody_can_be_asked_there(pair: Make) -> None:
    both = pair()
    with pytest.raises(StepFailed, match="can ask nobody"):
        both.run("steps: [{id: a, queue: box, uses: ask_user, with: {question: Who?}}]")


def test_a_timeout_ends_the_work_there(pair: Make, tmp_path: Path) -> None:
    both = pair()
    began = time.monotonic()
    with pytest.raises(StepFailed, match="it took longer than 1 s"):
        both.run("steps: [{id: a, queue: box, timeout: 1s, run: {bash: sleep 600}}]")
    assert both.near.link.count("stop") == 1
    assert both.near.link.host._works == {}, "it has ended, and left nothing"
    assert time.monotonic() - began < 60


def test_secrets_travel_and_stay_hidden(pair: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "s3cr3t-value")
    both = pair(here={"secrets": {"KEY": {"env": "THE_KEY"}}})
    steps = """
secrets: [KEY]
steps:
  - id: a
    queue: box
    run: {bash: 'test ${#K} = 12 && echo "it is $K"'}
    env: {K: "${{ secrets.KEY }}"}
outputs: {said: "${{ steps.a.outputs.text }}"}
"""
    assert both.run(steps) == {"said": "it is ***"}
    assert "s3cr3t" not in str(both.events)
    assert "it is ***" in str(both.told(ev.StepFinished))


def test_models_of_such_steps_are_not_looked_for_here(pair: Make) -> None:
    both = pair(here={"roles": {"transcribe": "whisper-medium"}})
    spec = "version: 1\nname: w\ninputs: {audio: {type: file}}\n" + TRANSCRIBE
    (both.folder / "w.yaml").write_text(spec)
    workflow = both.runtime.workflow(str(both.folder / "w.yaml"))
    assert workflow.models() == {("transcribe", None)}
    assert workflow.models(elsewhere=["box"]) == set()


def test_a_model_there_counts_its_own_tokens_and_hears_a_cancel(
    pair: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = pair()
    answer = both.model.stream

    def slow(request: ChatRequest, cancel: CancelToken) -> Iterator[Delta]:
        while not cancel.cancelled:
            time.sleep(0.01)
        return answer(request, cancel)

    monkeypatch.setattr(both.model, "stream", slow)
    with both.near.taken("box", print, CancelToken()) as worker:
        model = There(worker, CancelToken(), 0).chat()
        asked = (Message("user", "one two three"),)
        assert model.count_tokens(asked) == both.model.count_tokens(asked)
        token = CancelToken()
        token.cancel("enough")
        deltas = [*model.stream(ChatRequest(asked), token)]
    done = deltas[-1].completion
    assert done is not None
    assert done.finish_reason == "cancelled"


def test_errors_survive_the_journey() -> None:
    fault = PromptTooLong(prompt_tokens=9, reserved=1, context_tokens=5)
    again = pickle.loads(pickle.dumps(fault))
    assert (str(again), again.hint, again.excess) == (str(fault), fault.hint, 5)
    assert isinstance(pickle.loads(pickle.dumps(ToolError("x", hint="y"))), ToolError)
