"""Each workflow that ships, with a real model and real files; meeting-notes has its own file."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentkit import events as ev
from agentkit.config import shipped
from agentkit.errors import ApprovalNeeded
from agentkit.runtime import Runtime
from agentkit.toolbox.approvals import settle

pytestmark = pytest.mark.model

SMALL = "qwen2.5-coder-0.5b"


@pytest.fixture(autouse=True)
def place(real_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTKIT_ROLES__CHAT", SMALL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(name: str, seen: list[ev.Event] | None = None, **inputs: Any) -> dict[str, Any]:
    told = [] if seen is None else seen
    with Runtime() as runtime:
        return runtime.run(runtime.workflow(name), inputs, subscribers=(told.append,))


def made(name: str) -> str:
    with Runtime() as runtime:
        run = runtime.journal.run("last").id
        return (runtime.settings.runs_folder / run / name).read_text()


def test_all_of_them_are_tested() -> None:
    """A workflow that is added needs a test here."""
    here = Path(__file__).read_text(encoding="utf-8")
    names = {path.stem for path in shipped("workflows").glob("*.yaml")} - {"meeting-notes"}

    assert {name for name in names if f'"{name}"' not in here} == set()


def test_folder_digest_reads_each_file_once_also_across_runs(place: Path) -> None:
    folder = place / "notes"
    folder.mkdir()
    (folder / "garden.txt").write_text("The roses need water twice a week in summer.")
    (folder / "house.md").write_text("The roof was repaired in May by the firm Huber.")
    seen: list[ev.Event] = []

    first = run("folder-digest", folder=str(folder))
    again = run("folder-digest", seen, folder=str(folder))

    assert first == again == {"files": 2, "digest": "digest.md"}
    assert "**notes/garden.txt**: " in made("digest.md")
    kept = [e.step for e in seen if isinstance(e, ev.StepFinished) and e.cached]
    assert kept.count("lines") == 2


def test_inbox_triage_sorts_into_the_topics_that_it_is_given(place: Path) -> None:
    inbox = place / "inbox"
    inbox.mkdir()
    (inbox / "a.txt").write_text("Invoice 77 is overdue. Please pay today or we stop the delivery.")
    (inbox / "b.txt").write_text("Thank you for the cake!")
    topics = ["bills", "thanks"]

    outputs = run("inbox-triage", inbox=str(inbox), topics=topics)

    rows = [line.split(" | ") for line in made("inbox.md").splitlines()[2:]]
    assert outputs["letters"] == 2
    assert [row[0] for row in rows] == ["| a.txt", "| b.txt"]
    assert {row[1] for row in rows} <= set(topics)


def test_changelog_puts_every_commit_under_one_heading(place: Path) -> None:
    repository = place / "repository"
    repository.mkdir()
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    said = ["Add export to CSV", "Do not lose the last line", "Split the parser in two"]
    for one in said:
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", one], check=True)

    assert run("changelog", repository=str(repository)) == {"commits": 3}
    page = made("changes.md")
    assert all(page.count(one) == 1 for one in said)


def test_hard_question_takes_a_vote() -> None:
    seen: list[ev.Event] = []

    outputs = run("hard-question", seen, question="How many days are in two weeks?")

    assert outputs["answer"].strip()
    (thought,) = (e for e in seen if isinstance(e, ev.StepReasoned))
    assert (thought.strategy, thought.candidates) == ("self_consistency", 5)


def test_ask_documents_answers_from_what_is_remembered() -> None:
    with Runtime() as runtime:
        due = "The rent is due on the third day of the month."
        runtime.memories.collection().save(due, source="lease")

    outputs = run("ask-documents", question="When is the rent due?")

    assert "third" in str(outputs["passages"])
    assert outputs["answer"].strip()


def test_approved_note_goes_out_when_a_person_said_so() -> None:
    with pytest.raises(ApprovalNeeded):
        run("approved-note", about="We are closed on Friday.")
    with Runtime() as runtime:
        (asked,) = runtime.journal.desk.requests(open_only=True)
        settle(runtime.journal.desk, asked, "publish")
        outputs = runtime.resume("last")

    assert made("notice.md") == outputs["notice"]


def test_nightly_research_writes_a_page_with_every_topic(place: Path) -> None:
    library = place / "library"
    library.mkdir()
    (library / "bread.txt").write_text("Soda bread rises without yeast: soda and buttermilk do it.")
    (library / "tea.txt").write_text("Green tea is brewed at 75 degrees.")

    run("nightly-research", topics=["bread without yeast"], folder=str(library))

    page = made("research.md")
    assert page.startswith("# bread without yeast\n")
    assert len(page.splitlines()) >= 3
