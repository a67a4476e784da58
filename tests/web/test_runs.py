"""Runs over the API: begun, watched, spoken to, gone on with."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agentkit import events as ev
from agentkit.client import Client
from agentkit.errors import Busy, UserError
from agentkit.runtime import settle

from .conftest import LIMIT, SECRET, Served, Start


def until(said: Callable[[], bool]) -> None:
    ends = time.monotonic() + LIMIT
    while not said():
        assert time.monotonic() < ends
        time.sleep(0.02)


def ended(client: Client, run: str) -> str:
    until(lambda: client.details(run).run.status != "running")
    return client.details(run).run.status


def held(served: Served, run: str) -> None:
    """Wait until a run of the workflow `hold` does."""
    until(lambda: (served.home / "runs" / run / "held").exists())


def test_a_run_is_on_record_before_it_is_answered(served: Served) -> None:
    with served.client() as client:
        run = client.run("greet", {"who": "Ann"})
        assert client.details(run).run.workflow == "greet"
        assert ended(client, run) == "succeeded"
        details = client.details(run)
        assert details.run.outputs == {"said": "hello Ann"}
        assert [step.step for step in details.steps] == ["hello"]
        assert [one.id for one in client.runs()] == [run]
        assert client.runs(status="failed") == []


def test_what_cannot_begin_is_said_at_once(served: Served) -> None:
    with served.client() as client:
        with pytest.raises(UserError, match='there is no input "whom"'):
            client.run("greet", {"whom": "Ann"})
        with pytest.raises(UserError, match=r"no workflow named 'gret'\. did you mean \"greet\""):
            client.run("gret")
        assert client.runs() == []


def test_events_come_as_they_happen_and_can_be_asked_for_again(served: Served) -> None:
    with served.client() as client:
        run = client.run("hold")
        stream = client.events(run)
        seen = [next(stream) for _ in range(2)]
        assert [type(event) for _, event in seen] == [ev.RunStarted, ev.StepStarted]

        held(served, run)
        (served.home / "go").touch()
        rest = list(stream)
        assert isinstance(rest[-1][1], ev.RunFinished)
        numbers = [number for number, _ in [*seen, *rest]]
        assert numbers == sorted(set(numbers))

        again = list(client.events(run, after=seen[-1][0]))
        assert again == [one for one in rest if one[0]]


def test_a_browser_goes_on_where_its_stream_broke(served: Served) -> None:
    with served.client() as client, served.http() as http:
        run = client.run("greet")
        ended(client, run)
        whole = http.get(f"/api/runs/{run}/events").text
        ids = [line.removeprefix("id: ") for line in whole.splitlines() if line.startswith("id: ")]
        again = http.get(f"/api/runs/{run}/events", headers={"Last-Event-ID": ids[-2]}).text
        assert again.count("id: ") == 1
        assert "id: " + ids[-1] in again
        assert json.loads(again.split("data: ")[1].splitlines()[0])["status"] == "succeeded"
        assert http.get(f"/api/runs/{run}/events", headers={"Last-Event-ID": "x"}).text == whole


def test_a_run_ends_when_it_is_told(served: Served) -> None:
    with served.client() as client:
        run = client.run("hold")
        held(served, run)
        client.cancel(run)
        assert ended(client, run) == "cancelled"


def test_what_failed_is_done_again(served: Served) -> None:
    with served.client() as client:
        run = client.run("wrong")
        assert ended(client, run) == "failed"
        file = served.home / "workflows" / "wrong.yaml"
        file.write_text(file.read_text().replace("exit 3", "exit 0"))
        assert client.retry(run, edited=True) == run
        assert ended(client, run) == "succeeded"


def test_a_run_is_not_begun_twice_at_once(served: Served) -> None:
    with served.client() as client:
        run = client.run("hold")
        with pytest.raises(UserError, match="is at work"):
            client.resume(run)
        (served.home / "go").touch()
        assert ended(client, run) == "succeeded"


def test_the_same_request_again_begins_no_second_run(served: Served) -> None:
    with served.client() as client:
        for _ in range(3):
            assert client.run("greet", id="greet-2026-11-28") == "greet-2026-11-28"
        assert ended(client, "greet-2026-11-28") == "succeeded"
        assert len(client.runs()) == 1
        with pytest.raises(UserError, match="pattern"):
            client.run("greet", id="../../etc")


def test_what_is_secret_stays_out_of_logs_and_answers(
    served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG")
    (served.home / "workflows" / "keyed.yaml").write_text(
        "name: keyed\ninputs: {key: {type: secret}}\nsteps:\n"
        '  - {id: a, run: "echo $K; exit 1", env: {K: "${{ inputs.key }}"}}\n'
    )
    with served.client() as client, served.http() as http:
        run = client.run("keyed", {"key": "sesame-sesame"})
        assert ended(client, run) == "failed"
        answers = [http.get(f"/api/runs/{run}").text, http.get(f"/api/runs/{run}/events").text]
        with pytest.raises(UserError, match="secret and on no record"):
            client.resume(run)
    assert "***" in answers[0]
    for text in [*answers, caplog.text]:
        assert "sesame-sesame" not in text
        assert SECRET not in text


def test_more_runs_than_may_be_have_to_wait(serve: Start) -> None:
    served = serve(runs=1)
    with served.client() as client:
        run = client.run("hold")
        with pytest.raises(Busy, match="1 runs are at work already") as caught:
            client.run("greet")
        assert caught.value.seconds == 5
        (served.home / "go").touch()
        ended(client, run)
        until(lambda: served.service.background.at_work() == [])
        assert ended(client, client.run("greet")) == "succeeded"


def test_a_run_that_waits_for_an_answer_goes_on_when_it_has_one(served: Served) -> None:
    with served.client() as client:
        run = client.run("ask")
        assert ended(client, run) == "parked"
        with pytest.raises(UserError, match="waits already: a person has to answer: Go on"):
            client.say(run, "pause")
        (request,) = client.approvals()
        client.answer(request.id, "approve")
        until(lambda: client.details(run).run.status == "succeeded")


def test_a_question_that_nobody_answers_is_over_in_time(served: Served) -> None:
    with served.client() as client:
        run = client.run("hurry")
        until(lambda: client.details(run).run.status == "succeeded")
        assert client.details(run).run.outputs == {"said": "approve"}


def test_an_answer_from_elsewhere_counts_as_well(served: Served) -> None:
    with served.client() as client:
        run = client.run("ask")
        assert ended(client, run) == "parked"
        desk = served.service.runtime.journal.desk
        settle(desk, desk.requests(open_only=True)[0], "reject")
        until(lambda: client.details(run).run.status == "failed")


def test_files_of_a_run_can_be_had_and_no_others(served: Served) -> None:
    secret = served.home / "secret.txt"
    secret.write_text("secret")
    with served.client() as client, served.http() as http:
        run = client.run("file")
        assert ended(client, run) == "succeeded"
        assert client.artifact(run, "notes/a.md") == b"# A"
        answer = http.get(f"/api/runs/{run}/artifacts/notes/a.md")
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

        (served.home / "runs" / run / "unknown.md").write_text("not on record")
        for path in ("unknown.md", "../../secret.txt", "..%2f..%2fsecret.txt", "/etc/passwd", "",
                     "%2e%2e/%2e%2e/secret.txt", "notes/a.md%00", "notes"):  # fmt: skip
            found = http.get(f"/api/runs/{run}/artifacts/{path}", follow_redirects=True)
            assert found.status_code in (200, 404)
            assert "secret" not in found.text.replace("secret.txt", "")
        (served.home / "runs" / run / "notes" / "a.md").unlink()
        (served.home / "runs" / run / "notes" / "a.md").symlink_to(secret)
        assert http.get(f"/api/runs/{run}/artifacts/notes/a.md").status_code == 404


def test_a_run_is_removed_with_its_files(served: Served) -> None:
    with served.client() as client:
        run = client.run("file")
        ended(client, run)
        until(lambda: run not in served.service.background.at_work())
        client.remove(run)
        assert client.runs() == []
        assert not (served.home / "runs" / run).exists()


@pytest.fixture
def guest(served: Served) -> Iterator[Client]:
    """With a token that may begin runs."""
    with served.client(served.service.tokens.make("guest", ["run"])) as client:
        yield client


def test_a_guest_runs_workflows_by_name_only(served: Served, guest: Client, tmp_path: Path) -> None:
    assert ended(guest, guest.run("greet")) == "succeeded"
    file = tmp_path / "own.yaml"
    file.write_text("name: own\nsteps:\n  - {id: a, uses: say, with: {text: hi}}\n")
    for name in (str(file), "../home/workflows/greet.yaml", "/etc/passwd"):
        with pytest.raises(UserError, match="no workflow named"):
            guest.run(name)
    with served.client() as owner:
        assert ended(owner, owner.run(str(file))) == "succeeded"


def test_a_guest_is_no_person_and_names_no_files(served: Served, guest: Client) -> None:
    with pytest.raises(UserError, match="is no person's"):
        guest.run("greet", attended=True)
    with pytest.raises(UserError, match="is no person's"):
        guest.run("greet", folder=Path("/"))
    with pytest.raises(UserError, match="may name no files but those that runs may read"):
        guest.run("reads", {"file": "/etc/passwd"})
    with pytest.raises(UserError, match="it takes one for 'owner'"):
        guest.answer("x", "always")
    with pytest.raises(UserError, match="is no person's"):
        guest.agent("look", work=Path("/"))


def test_the_owner_hands_files_over_where_he_is(served: Served, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("from the folder")
    with served.client() as client:
        run = client.run("reads", {"file": "a.txt"}, folder=tmp_path)
        assert ended(client, run) == "succeeded"
        assert client.details(run).run.inputs == {"file": str(tmp_path / "a.txt")}


def test_memory_keeps_and_forgets(served: Served) -> None:
    with served.http() as http:
        assert http.get("/api/memory").json() == []
        answer = http.post("/api/memory/../x", json={"text": "a"})
        assert answer.status_code in (404, 405)
        assert http.post("/api/memory/notes/search", json={"query": "a"}).status_code == 404


def test_what_is_there_can_be_looked_at(served: Served) -> None:
    with served.http() as http:
        assert http.get("/ready").json() == {"ready": True}
        about = http.get("/api/workflows/greet").json()
        assert about["inputs"]["who"] == {
            "type": "string", "description": "", "required": False, "default": "world",
        }  # fmt: skip
        assert "greet" in http.get("/api/workflows").json()
        assert http.get("/api/models").json()
        assert http.get("/api/models/loaded").json() == []
        assert http.post("/api/models/unload").json() == []
        assert http.get("/api/service").json()["runs"] == []
        numbers = http.get("/metrics").text
        assert 'agentkit_requests_total{method="GET",route="/ready",status="200"} 1.0' in numbers


def test_a_run_that_waits_is_cancelled_at_once(served: Served) -> None:
    with served.client() as client:
        run = client.run("ask")
        assert ended(client, run) == "parked"
        client.cancel(run)
        assert client.details(run).run.status == "cancelled"
        with pytest.raises(UserError, match=r"is over \(cancelled\)"):
            client.cancel(run)
        desk = served.service.runtime.journal.desk
        settle(desk, desk.requests(open_only=True)[0], "approve")
        assert served.service.keeper.look() == []


def test_an_answer_that_nobody_uses_lets_a_run_go_on_once(served: Served) -> None:
    journal = served.service.runtime.journal
    with served.client() as client:
        run = client.run("ask")
        assert ended(client, run) == "parked"
        other = replace(journal.desk.requests(open_only=True)[0], id="other1", key="another call")
        journal.desk.file(other)
        journal.desk.answer("other1", "approve")

        def gone_on() -> int:
            return [event.kind for event in journal.events(run)].count("RunResumed")

        until(lambda: gone_on() == 1)
        until(lambda: served.service.background.at_work() == [])
        for _ in range(3):
            assert served.service.keeper.look() == []
        assert gone_on() == 1


def test_a_guest_has_no_say_in_runs_of_the_owner(served: Served, guest: Client) -> None:
    with served.client() as client:
        run = client.run("hold")
        for ask in (guest.cancel, guest.resume, guest.retry):
            with pytest.raises(UserError, match="was begun by a person"):
                ask(run)
        with pytest.raises(UserError, match="was begun by a person"):
            guest.say(run, "note", "do something else")
        (served.home / "go").touch()
        assert ended(client, run) == "succeeded"
        own = guest.run("wrong")
        assert ended(guest, own) == "failed"
        assert guest.resume(own) == own


def test_what_a_guest_names_stays_unreadable_when_the_run_goes_on(
    served: Served, guest: Client
) -> None:
    """Whoever lets it go on: it was nobody's to hand over."""
    readable = served.home / "readable"
    readable.mkdir()
    (readable / "a.txt").write_text("a")
    (served.home / "settings.yaml").write_text("")
    settings = served.service.runtime.settings
    settings.permissions.unattended.read = [readable]
    run = guest.run("reads", {"file": str(readable / "a.txt")})
    assert ended(guest, run) == "succeeded"
    assert served.service.runtime.journal.terms(run) == {
        "by": "guest", "handed": False, "here": None, "attended": False,
    }  # fmt: skip


@pytest.mark.parametrize("value", ["\ud800", [[[[0]]]] * 2, "~nobody-at-all/x", "a\0b"])
def test_inputs_that_are_no_data_are_refused_and_break_nothing(
    served: Served, guest: Client, value: object
) -> None:
    deep: object = value
    if isinstance(value, list):
        for _ in range(60):
            deep = [deep]
    body = json.dumps({"workflow": "reads", "inputs": {"file": deep}})
    with served.http(**{"Content-Type": "application/json"}) as http:
        assert http.post("/api/runs", content=body).status_code == 400
        assert http.get("/api/runs").json() == []
    with pytest.raises(UserError):
        guest.run("reads", {"file": "~nobody-at-all/x"})


def test_what_starts_by_itself_can_be_looked_at_and_started(served: Served, guest: Client) -> None:
    with served.client() as client, served.http() as http:
        until(lambda: [one.name for one in client.schedules()] == ["nightly"])
        (one,) = client.schedules()
        assert (one.triggers, one.paused) == (("cron 0 3 * * * UTC",), None)
        due = http.get("/api/schedules/next", params={"count": 2}).json()
        assert [each["workflow"] for each in due] == ["nightly", "nightly"]
        client.pause("nightly")
        assert client.schedules()[0].next is None
        client.unpause("nightly")
        run = client.trigger("nightly")
        until(lambda: bool(client.runs()) and ended(client, run) == "succeeded")
        assert any("a person said so" in line for line in client.why("nightly"))
        with pytest.raises(UserError, match="no workflow with triggers named"):
            client.trigger("daily")
        with pytest.raises(UserError, match="leave `inputs` out"):
            guest.trigger("nightly", {"a": 1})


def test_a_run_that_never_was_has_no_events(served: Served) -> None:
    with served.http() as http:
        assert http.get("/api/runs/never/events").status_code == 404
