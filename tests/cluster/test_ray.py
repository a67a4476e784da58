"""A real cluster of Ray: a head and two machines on addresses of this one, with homes of their own.

The work of models is real, too; what can be shown without a cluster is in `test_away`.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from agentkit import events as ev
from agentkit.cluster import machines
from agentkit.cluster.link import RayLink
from agentkit.config import Settings, shipped
from agentkit.errors import MachineError, StepFailed
from agentkit.runtime import Runtime

from .nodes import Cluster, kill

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="the extra `cluster` is not installed"
)
"""It is imported when the token is known: it looks for one only then."""

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def cluster(models_folder: Path) -> Iterator[Cluster]:
    """Its head, and two machines: one listens, one computes.

    Ray's sockets lie in its folder, and the path of a socket has 107 bytes at most: pytest's own
    folders are too deep for that.
    """
    place = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
    folder = Path(place.name)
    there = {
        "PYTHONPATH": str(ROOT),
        "AGENTKIT_MODELS_DIR": str(models_folder),
        "AGENTKIT_ROLES__TRANSCRIBE": "whisper-tiny.en",
        "AGENTKIT_ROLES__CHAT": "smollm2-135m",
    }
    made = Cluster(folder / "ray", there)
    try:
        made.start_head()
        made.wait(made.add("ears", "127.0.0.3", folder / "ears-home", ears=1))
        made.wait(made.add("desk", "127.0.0.4", folder / "desk-home", desk=4))
        yield made
    finally:
        made.stop()
        place.cleanup()


@pytest.fixture
def home(tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one setting, and the token."""
    for name, value in cluster.secret.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "home"
    folder.mkdir()
    queues = {name: {"resource": name} for name in ("ears", "desk", "moon")}
    settings = {"cluster": {"address": cluster.address, "queues": queues}}
    (folder / "settings.yaml").write_text(json.dumps(settings))
    return folder


SECONDS = 20
"""Of the recording: what so small a model says of it is not what is looked at."""


def placed(events: list[ev.Event]) -> dict[str, str]:
    """Where each step was done last."""
    return {e.step: e.machine for e in events if isinstance(e, ev.StepPlaced)}


def meeting(folder: Path) -> tuple[Path, Path]:
    """The workflow that ships, with queues for its steps, and the beginning of a recording."""
    text = (shipped("workflows") / "meeting-notes.yaml").read_text()
    places = {"uses: transcribe": "ears", "prompt:": "desk", "uses: render_template": "desk",
              "uses: write_file": "desk"}  # fmt: skip
    for word, queue in places.items():
        text = text.replace(f"    {word}\n", f"    queue: {queue}\n    {word}\n")
    workflow, audio = folder / "meeting.yaml", folder / "meeting.wav"
    workflow.write_text(text)
    with (
        av.open(str(ROOT / "examples" / "meeting.flac")) as source,
        wave.open(str(audio), "wb") as target,
    ):
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(16000)
        resampler = av.AudioResampler("s16", "mono", 16000)
        for frame in source.decode(audio=0):
            if frame.time is not None and frame.time > SECONDS:
                break
            for piece in resampler.resample(frame):
                target.writeframes(piece.to_ndarray().tobytes())
    return workflow, audio


@pytest.mark.model
def test_the_meeting_is_heard_here_and_written_there_though_a_machine_dies(
    cluster: Cluster, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that listens is killed in the middle of it, and another one takes its place."""
    workflow, audio = meeting(tmp_path)
    events: list[ev.Event] = []
    ask = RayLink.__call__

    def killed_at_work(link: RayLink, method: str, *arguments: Any, **how: Any) -> Any:
        news = ask(link, method, *arguments, **how)
        if method == "news" and not news.over and "ears2" not in cluster.nodes:
            kill(cluster.nodes["ears"])
            cluster.add("ears2", "127.0.0.5", tmp_path / "ears2-home", ears=1)
        return news

    monkeypatch.setattr(RayLink, "__call__", killed_at_work)

    with Runtime(Settings.load()) as runtime:
        outputs = runtime.run(
            runtime.workflow(str(workflow)), {"audio": str(audio)}, subscribers=(events.append,)
        )
        run = events[0].run
        attempts = [one for one in runtime.journal.attempts(run) if one.step == "transcript"]
        artifacts = {one.path: one for one in runtime.journal.artifacts(run)}
    assert set(outputs) == {"title", "action_items", "decisions", "open_questions"}
    minutes = home / "runs" / run / "minutes.md"
    assert minutes.stat().st_size == artifacts["minutes.md"].size

    where = placed(events)
    assert "127.0.0.5" in where["transcript"]
    assert {where[step][-10:] for step in ("notes", "title", "minutes_md")} == {"127.0.0.4)"}
    assert "lines" not in where, "a step without such a queue is done here"
    assert [one.status for one in attempts] == ["failed", "succeeded"]
    assert "was lost" in attempts[0].error


HELLO = """
version: 1
name: hello
steps:
  - {id: a, queue: QUEUE, timeout: 20s, run: {bash: 'echo "hello $WHO"'}, env: {WHO: s3cr3t-name}}
outputs: {said: "${{ steps.a.outputs.text }}"}
"""


def hello(folder: Path, queue: str) -> str:
    path = folder / "hello.yaml"
    path.write_text(HELLO.replace("QUEUE", queue))
    return str(path)


def test_a_second_run_finds_the_same_worker(cluster: Cluster, home: Path, tmp_path: Path) -> None:
    workers = set()
    for _ in range(2):
        with Runtime(Settings.load()) as runtime:
            assert runtime.run(runtime.workflow(hello(tmp_path, "desk")), {}) == {
                "said": "hello s3cr3t-name"
            }
            workers |= {one.worker for one in runtime.workers.machines() if "desk" in one.has}
    assert len(workers) == 1
    assert None not in workers
    logs = [path for path in cluster.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in logs if b"s3cr3t" in path.read_bytes()]


def test_a_step_waits_for_a_machine_that_is_not_there_and_says_so(
    cluster: Cluster, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "PATIENCE", 0.2)
    events: list[ev.Event] = []
    path = Path(hello(tmp_path, "moon"))
    path.write_text(path.read_text().replace("20s", "2s"))
    with Runtime(Settings.load()) as runtime, pytest.raises(StepFailed, match="longer than 2 s"):
        runtime.run(runtime.workflow(str(path)), {}, subscribers=(events.append,))
    (said,) = [event.text for event in events if isinstance(event, ev.StepWarned)]
    assert said.startswith("waiting for 1 moon (queue moon): no machine of the cluster has that")


def test_where_no_cluster_is_one_sentence_says_so(home: Path, tmp_path: Path) -> None:
    settings = json.loads((home / "settings.yaml").read_text())
    settings["cluster"]["address"] = "127.0.0.1:9"
    (home / "settings.yaml").write_text(json.dumps(settings))
    with Runtime(Settings.load()) as runtime, pytest.raises(StepFailed) as failed:
        runtime.run(runtime.workflow(hello(tmp_path, "desk")), {})
    assert isinstance(failed.value.cause, MachineError)
    assert "no cluster at 127.0.0.1:9: Connection refused" in str(failed.value)
