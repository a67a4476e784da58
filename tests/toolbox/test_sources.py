"""Folders and packages are scanned while people edit them; nothing stops a scan."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentkit.toolbox import Toolbox
from agentkit.toolbox.sources import FolderSource, PackageSource, Scan

SAYS = "from agentkit import tool\n\n\n@tool\ndef {0}() -> str:\n    '{0}.'\n    return '{1}'\n"


def put(folder: Path, name: str, says: str = "one", file: str = "") -> Path:
    path = folder / (file or f"{name}.py")
    path.write_text(SAYS.format(name, says))
    return path


def names(scan: Scan) -> list[str]:
    return [tool.name for tool in scan.tools]


def reasons(scan: Scan) -> dict[str, str]:
    return {bad.source.name: bad.reason for bad in scan.bad}


def says(scan: Scan, name: str) -> object:
    (tool,) = (tool for tool in scan.tools if tool.name == name)
    return tool.run({}, None)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tools"
    made.mkdir()
    return made


# -- what lies in a folder -------------------------------------------------------------------------


def test_a_folder_that_is_not_there_has_no_tools(tmp_path: Path) -> None:
    assert FolderSource(tmp_path / "nowhere").scan() == Scan()


def test_a_file_in_place_of_a_folder_has_no_tools(tmp_path: Path) -> None:
    assert FolderSource(put(tmp_path, "greet")).scan() == Scan()


def test_strange_things_in_a_folder_stop_nothing(folder: Path) -> None:
    put(folder, "greet")
    (folder / "x.py").mkdir()
    (folder / "nowhere.py").symlink_to(folder / "gone.py")
    (folder / "circle.py").symlink_to("circle.py")
    os.mkfifo(folder / "pipe.py")
    (folder / "null.py").symlink_to("/dev/null")
    (folder / "notes.txt").write_text("hello")
    (folder / ".hidden.py").write_text("1 / 0")
    (folder / "_helper.py").write_text("1 / 0")
    (folder / "program").write_bytes(b"\x7fELF\x00\xff" * 1000)
    (folder / "program").chmod(0o755)
    (folder / "zeros.py").write_bytes(b"\0\0\0")
    (folder / "line\nend.py").write_text("1 / 0")
    scan = FolderSource(folder).scan()
    assert names(scan) == ["greet"]
    told = reasons(scan)
    assert "source code" in told.pop("zeros.py")  # one error or another, as Python has it
    assert told == {
        "nowhere.py": "is a link that leads nowhere",
        "circle.py": "is a link that leads nowhere",
        "program": "has no header that says its arguments: see `agentkit tools --help`",
        "line\nend.py": "ZeroDivisionError: division by zero",
    }


def test_a_link_to_a_tool_is_a_tool(folder: Path, tmp_path: Path) -> None:
    (folder / "greet.py").symlink_to(put(tmp_path, "greet"))
    assert names(FolderSource(folder).scan()) == ["greet"]


@pytest.mark.parametrize(
    "body",
    ["import sys; sys.exit('no')", "import pytest; pytest.skip('no', allow_module_level=True)",
     "raise GeneratorExit('no')", "import asyncio; raise asyncio.CancelledError('no')",
     "class E(Exception):\n    def __str__(self): raise ValueError\nraise E"],
)  # fmt: skip
def test_nothing_that_a_file_raises_gets_out(folder: Path, body: str) -> None:
    put(folder, "greet")
    (folder / "bad.py").write_text(body)
    scan = FolderSource(folder).scan()
    assert names(scan) == ["greet"]
    assert list(reasons(scan)) == ["bad.py"]


def test_ctrl_c_while_a_file_is_loaded_is_no_fault_of_the_file(folder: Path) -> None:
    path = put(folder, "greet")
    source = FolderSource(folder)
    source.scan()
    path.write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        source.scan()
    path.write_text("1 / 0")
    assert names(source.scan()) == ["greet"], "what was known is still known"


def test_the_detail_of_a_fault_is_its_traceback(folder: Path) -> None:
    (folder / "bad.py").write_text("def deep():\n    return 1 / 0\n\n\ndeep()\n")
    (bad,) = FolderSource(folder).scan().bad
    assert "in deep" in bad.detail


# -- between two scans -----------------------------------------------------------------------------


def test_what_did_not_change_is_not_loaded_again(folder: Path) -> None:
    (folder / "a.py").write_text(SAYS.format("a", "one") + "print('loaded')\n")
    source = FolderSource(folder)
    (first,), (second,) = source.scan().tools, source.scan().tools
    assert first is second


def test_edited_added_renamed_and_removed_files_count(folder: Path) -> None:
    source = FolderSource(folder)
    a, b = put(folder, "a"), put(folder, "b")
    assert names(source.scan()) == ["a", "b"]
    put(folder, "a", "two")
    assert says(source.scan(), "a") == "two"
    b.rename(folder / "z.py")
    put(folder, "c")
    assert names(source.scan()) == ["a", "c", "b"]
    a.unlink()
    assert names(source.scan()) == ["c", "b"]


def test_a_file_that_was_replaced_by_one_of_the_same_size_and_time_counts(folder: Path) -> None:
    source = FolderSource(folder)
    about = put(folder, "a", "one").stat()
    source.scan()
    new = put(folder, "a", "two", "new.tmp")
    os.utime(new, ns=(about.st_atime_ns, about.st_mtime_ns))
    new.replace(folder / "a.py")
    assert says(source.scan(), "a") == "two"


def test_a_file_that_broke_keeps_its_tools_until_it_is_mended(folder: Path) -> None:
    source = FolderSource(folder)
    path = put(folder, "a")
    source.scan()
    for broken in ("def a(:", "1 / 0", ""):
        path.write_text(broken)
        for _ in range(2):
            scan = source.scan()
            assert says(scan, "a") == "one"
            assert reasons(scan)["a.py"].endswith("(the version from before goes on)")
    put(folder, "a", "two")
    scan = source.scan()
    assert (says(scan, "a"), scan.bad) == ("two", ())


def test_a_function_that_broke_keeps_its_tool_beside_those_that_did_not(folder: Path) -> None:
    source = FolderSource(folder)
    path = folder / "ab.py"
    path.write_text(SAYS.format("a", "one") + SAYS.format("b", "one"))
    source.scan()
    path.write_text(SAYS.format("a", "two") + SAYS.format("b", "two").replace("b()", "b(x)"))
    scan = source.scan()
    assert (says(scan, "a"), says(scan, "b")) == ("two", "one")


def test_a_function_that_was_taken_out_is_gone(folder: Path) -> None:
    source = FolderSource(folder)
    path = folder / "ab.py"
    path.write_text(SAYS.format("a", "one") + SAYS.format("b", "one"))
    source.scan()
    put(folder, "a", file="ab.py")
    assert names(source.scan()) == ["a"]


def test_a_script_that_broke_is_gone_for_what_runs_is_the_file(folder: Path) -> None:
    source = FolderSource(folder)
    path = folder / "a.sh"
    path.write_text("#!/bin/sh\n# /// tool\n# description: A.\n# ///\necho one\n")
    path.chmod(0o755)
    assert names(source.scan()) == ["a"]
    path.chmod(0o644)
    scan = source.scan()
    assert names(scan) == []
    assert "chmod +x" in reasons(scan)["a.sh"]
    assert "goes on" not in reasons(scan)["a.sh"]


def test_a_script_that_becomes_python_and_back_is_what_it_is(folder: Path) -> None:
    source = FolderSource(folder)
    path = put(folder, "a")
    source.scan()
    path.write_text("#!/usr/bin/env python3\n# /// tool\n# description: B.\n# name: b\n# ///\n")
    path.chmod(0o755)
    assert names(source.scan()) == ["b"]
    put(folder, "a")
    assert names(source.scan()) == ["a"]


def test_a_file_that_goes_while_it_is_looked_at_was_not_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "a")
    put(folder, "b")
    put(folder, "c")
    (folder / "c.py").chmod(0o755)
    moments = iterate_moments(folder)
    listed = Path.glob

    def glob(self: Path, pattern: str) -> Iterator[Path]:
        found = list(listed(self, pattern))
        next(moments)
        return iter(found)

    monkeypatch.setattr(Path, "glob", glob)
    source = FolderSource(folder)
    assert (names(source.scan()), source.scan().bad) == (["b", "c"], ())


def iterate_moments(folder: Path) -> Iterator[None]:
    (folder / "a.py").unlink()
    while True:
        yield


def test_a_file_that_goes_while_it_is_loaded_was_not_there(folder: Path) -> None:
    path = put(folder, "a")
    path.write_text("import pathlib\npathlib.Path(__file__).unlink()\n1 / 0\n")
    assert FolderSource(folder).scan() == Scan()


def test_many_threads_may_look_while_files_come_and_go(folder: Path) -> None:
    """Whoever asks gets the tool that stays, and never an error."""
    put(folder, "stays", "here")
    box = Toolbox([folder])
    stop, wrong = threading.Event(), list[object]()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            path = put(folder, f"t{number % 5}", str(number))
            put(folder, "stays", "here")
            if number % 3 == 0:
                path.write_text("def broken(:")
            if number % 2:
                path.unlink()

    def look() -> None:
        try:
            for _ in range(40):
                box.refresh()
                wrong.extend(x for x in [box["stays"].run({}, None)] if x != "here")  # type: ignore[arg-type]
                wrong.extend(name for name, tool in box.items() if tool.name != name)
                assert "stays" in box.names()
                assert len(box) >= 1
                _ = box.bad
        except BaseException as error:
            wrong.append(error)

    changing = threading.Thread(target=change)
    looking = [threading.Thread(target=look) for _ in range(8)]
    changing.start()
    for thread in looking:
        thread.start()
    for thread in looking:
        thread.join()
    stop.set()
    changing.join()
    assert wrong == []


# -- installed packages ----------------------------------------------------------------------------


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """`install("pack", {"all": "pack.tools"}, tools=source)`: a distribution as pip leaves it."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def install(package: str, entries: dict[str, str], **modules: str) -> Path:
        about = site / f"{package}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
        (about / "entry_points.txt").write_text(f"[agentkit.tools]\n{lines}")
        (site / package).mkdir()
        for name, source in {"__init__": "", **modules}.items():
            (site / package / f"{name}.py").write_text(source)
        return site / package

    yield install
    for name in set(sys.modules) - before:
        if name.split(".")[0].startswith("agentkit_test_"):
            del sys.modules[name]


Install = Callable[..., Path]


def test_a_package_offers_the_tools_of_a_module(install: Install) -> None:
    place = install("agentkit_test_a", {"all": "agentkit_test_a.tools"}, tools=SAYS.format("a", 1))
    scan = PackageSource().scan()
    assert says(scan, "a") == "1"
    assert [tool.source for tool in scan.tools] == [place / "tools.py"]


def test_a_package_offers_one_function(install: Install) -> None:
    source = SAYS.format("a", 1) + SAYS.format("b", 2)
    install("agentkit_test_b", {"one": "agentkit_test_b.tools:b"}, tools=source)
    assert names(PackageSource().scan()) == ["b"]


def test_a_package_gathers_the_tools_of_its_own_modules(install: Install) -> None:
    install(
        "agentkit_test_c",
        {"all": "agentkit_test_c"},
        __init__="from agentkit_test_c.search import a\nfrom agentkit.toolbox import tool\n",
        search=SAYS.format("a", 1),
    )
    assert names(PackageSource().scan()) == ["a"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("agentkit_test_d.nothing", "ModuleNotFoundError: No module named"),
        ("agentkit_test_d.broken", "ZeroDivisionError: division by zero"),
        ("agentkit_test_d.leaves", "SystemExit: 3"),
        ("agentkit_test_d.tools:missing", "AttributeError: module"),
        ("agentkit_test_d.tools:plain", "is no module and no function marked with @tool"),
        ("agentkit_test_d.tools:DATA", "is no module and no function marked with @tool"),
        ("agentkit_test_d.tools:untyped", "TypeError: parameter 'x' has no type hint"),
        ("not a module at all", "AttributeError"),
    ],
)  # fmt: skip
def test_an_entry_point_that_cannot_be_used_is_reported_by_its_name(
    install: Install, value: str, reason: str
) -> None:
    install(
        "agentkit_test_d",
        {"bad": value, "good": "agentkit_test_d.tools:a"},
        broken="1 / 0\n",
        leaves="raise SystemExit(3)\n",
        tools=SAYS.format("a", 1) + "def plain(): ...\nDATA = 7\n@tool\ndef untyped(x): ...\n",
    )
    scan = PackageSource().scan()
    assert names(scan) == ["a"]
    (bad,) = scan.bad
    assert str(bad.source) == f"agentkit_test_d: bad = {value}"
    assert bad.reason.startswith(reason)


def test_a_module_of_a_package_without_tools_is_reported(install: Install) -> None:
    place = install("agentkit_test_g", {"all": "agentkit_test_g.empty"}, empty="")
    (bad,) = PackageSource().scan().bad
    assert (bad.source, bad.reason) == (place / "empty.py", "has no function marked with @tool")


def test_what_a_package_prints_does_not_mix_with_results(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "print('hello')\n" + SAYS.format("a", 1)
    install("agentkit_test_e", {"all": "agentkit_test_e.tools"}, tools=source)
    PackageSource().scan()
    assert capsys.readouterr() == ("", "hello\n")


def test_packages_are_read_once(install: Install) -> None:
    source = PackageSource()
    first = source.scan()
    install("agentkit_test_f", {"all": "agentkit_test_f.tools"}, tools=SAYS.format("late", 1))
    assert source.scan() is first
    assert "late" in names(PackageSource().scan())


def test_a_place_is_told_once(tmp_path: Path) -> None:
    script = tmp_path / "bad.sh"
    script.write_text("#!/bin/sh\n# /// tool\n# description: x\n# argments: {}\n# ///\n")
    script.chmod(0o755)
    (tmp_path / "empty.py").write_text("")

    header, empty = FolderSource(tmp_path).scan().bad

    assert str(header).startswith(f'{script}:4:3: unknown key "argments"')
    assert str(empty) == f"{tmp_path}/empty.py: has no function marked with @tool"
