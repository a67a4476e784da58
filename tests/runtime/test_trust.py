"""The list of trusted folders: full paths, whole or not at all, and no name is two."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from agentkit.errors import MachineError, UserError
from agentkit.runtime import Runtime
from agentkit.runtime.trust import TrustedFolders

TOOL = "from agentkit import tool\n\n\n@tool\ndef mine() -> str:\n    'Mine.'\n    return ''\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "trusted-tools"


@pytest.fixture
def trusted(file: Path) -> TrustedFolders:
    return TrustedFolders(file)


def test_at_first_nothing_is_trusted_and_looking_writes_nothing(
    trusted: TrustedFolders, file: Path, tmp_path: Path
) -> None:
    assert tmp_path not in trusted
    trusted.remove(tmp_path)
    assert not file.parent.exists()


def test_a_folder_is_trusted_until_it_is_not(
    trusted: TrustedFolders, file: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    trusted.add(one)
    trusted.add(two)
    trusted.add(one)
    assert file.read_text() == f"{one}\n{two}\n"
    assert one in TrustedFolders(file)
    trusted.remove(one)
    assert (one in trusted, two in trusted) == (False, True)


def test_neither_parents_nor_children_nor_neighbours_are_trusted(
    trusted: TrustedFolders, tmp_path: Path
) -> None:
    trusted.add(tmp_path / "tools")
    for other in ("", "tools/deep", "tools2", "tool", "TOOLS"):
        assert tmp_path / other not in trusted


def test_a_link_is_trusted_as_what_it_leads_to(trusted: TrustedFolders, tmp_path: Path) -> None:
    for name in ("good", "evil"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "good")
    trusted.add(link)
    assert tmp_path / "good" in trusted
    link.unlink()
    link.symlink_to(tmp_path / "evil")
    assert link not in trusted


def test_a_name_that_would_be_two_lines_is_refused(trusted: TrustedFolders, tmp_path: Path) -> None:
    """Or to trust one folder would be to trust another, chosen by who named it."""
    evil = tmp_path / f"a\n{tmp_path}/other"
    with pytest.raises(UserError, match="has a line's end in its name"):
        trusted.add(evil)
    assert tmp_path / "other" not in trusted
    assert evil not in trusted


@pytest.mark.parametrize(
    "name", ["a\r", "a\x0bb", "a\u2028b", "a\x85b", " a ", "#a", os.fsdecode(b"\xe9")]
)
def test_every_other_name_is_one_line(trusted: TrustedFolders, tmp_path: Path, name: str) -> None:
    trusted.add(tmp_path / name)
    trusted.add(tmp_path / "other")
    assert tmp_path / name in trusted
    trusted.remove(tmp_path / "other")
    assert tmp_path / name in trusted


def test_a_list_that_was_edited_by_hand_is_read(
    trusted: TrustedFolders, file: Path, tmp_path: Path
) -> None:
    file.parent.mkdir()
    file.write_text(f"\n{tmp_path}/one\n\n{tmp_path}/two")
    assert tmp_path / "one" in trusted
    trusted.add(tmp_path / "three")
    assert [tmp_path / name in trusted for name in ("one", "two", "three")] == [True] * 3
    assert tmp_path not in trusted


def test_a_list_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    trusted = TrustedFolders(tmp_path / "file" / "trusted-tools")
    with pytest.raises(MachineError, match=r"the list of trusted folders .*: File exists"):
        trusted.add(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(MachineError, match="Is a directory"):
        assert tmp_path in TrustedFolders(tmp_path / "folder")


def test_nobody_reads_half_a_list(trusted: TrustedFolders, file: Path, tmp_path: Path) -> None:
    trusted.add(tmp_path / "stays")
    stop, wrong = threading.Event(), list[bytes]()

    def read() -> None:
        while not stop.is_set():
            if tmp_path / "stays" not in TrustedFolders(file):
                wrong.append(file.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(200):
        trusted.add(tmp_path / str(number))
        trusted.remove(tmp_path / str(number))
    stop.set()
    reader.join()
    assert wrong == []
    assert [path.name for path in file.parent.iterdir()] == ["trusted-tools"]


def test_the_tools_of_a_project_are_loaded_after_a_person_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "mine.py").write_text(TOOL + "open('loaded', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    with Runtime() as runtime:
        assert "mine" not in runtime.toolbox
        assert runtime.untrusted_tools() == tmp_path / "tools"
        runtime.trusted.add(tmp_path / "tools")
        assert not (tmp_path / "loaded").exists()
    with Runtime() as runtime:
        assert "mine" in runtime.toolbox
        assert runtime.untrusted_tools() is None
