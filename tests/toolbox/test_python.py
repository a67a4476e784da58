"""A Python file is run from its text; its marked functions become tools, or it is said why not."""

from __future__ import annotations

import os
import py_compile
import sys
from collections.abc import AsyncIterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agentkit import tool
from agentkit.errors import ToolError
from agentkit.permissions import ReadPath, Url, WritePath
from agentkit.toolbox.python import MAX_BYTES, load_module, marked, tool_of

from .calls import made

SAYS = "from agentkit import tool\n\n\n@tool\ndef x() -> str:\n    'X.'\n    return {!r}\n"


def said(path: Path) -> Any:
    (function,) = marked(load_module(path))
    return function()


# -- files -----------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.py"
    path.write_text(SAYS.format("one"))
    return path


@pytest.fixture
def caching(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python is when nobody has told it to leave no bytecode."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)


@pytest.mark.usefixtures("caching")
def test_an_edit_within_the_same_second_and_of_the_same_size_counts(file: Path) -> None:
    about = file.stat()
    assert said(file) == "one"
    file.write_text(SAYS.format("two"))
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert said(file) == "two"


@pytest.mark.usefixtures("caching")
def test_bytecode_that_came_with_a_folder_is_not_run(file: Path) -> None:
    """Somebody who looks at the file before trusting it has looked at what is run."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    cached = Path(str(py_compile.compile(str(file), invalidation_mode=mode)))
    file.write_text(SAYS.format("as you have read"))
    assert cached.parent.name == "__pycache__"
    assert plainly_imported(file)() == "one"
    assert said(file) == "as you have read"


def plainly_imported(path: Path) -> Any:
    loader = SourceFileLoader("plainly", str(path))
    spec = spec_from_loader("plainly", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module.x


@pytest.mark.usefixtures("caching")
def test_no_bytecode_is_left_beside_a_tool(file: Path) -> None:
    said(file)
    assert [path.name for path in file.parent.iterdir()] == ["x.py"]


def test_what_a_file_prints_does_not_mix_with_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.py").write_text("print('loading')\n" + SAYS.format("one"))
    assert said(tmp_path / "x.py") == "one"
    assert capsys.readouterr() == ("", "loading\n")


def test_a_file_that_breaks_leaves_the_version_before_where_pydantic_finds_it(file: Path) -> None:
    before = load_module(file)
    file.write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        load_module(file)
    assert sys.modules[before.__name__] is before


def test_a_file_that_never_loaded_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "never.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        load_module(tmp_path / "never.py")
    assert not [name for name in sys.modules if name.endswith("_never")]


def test_a_file_knows_where_it_is_and_a_traceback_shows_its_lines(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(
        "HERE = __file__\ndef broken():\n    return 1 / 0  # this line\n"
    )
    module = load_module(tmp_path / "x.py")
    assert str(tmp_path / "x.py") == module.HERE
    with pytest.raises(ZeroDivisionError) as caught:
        module.broken()
    assert "this line" in str(caught.traceback[-1].statement)


def test_a_file_that_no_person_wrote_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.py").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(ToolError, match="larger than 5 MB"):
        load_module(tmp_path / "huge.py")


def test_a_name_that_is_no_text_is_a_name(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.py"))
    path.write_text(SAYS.format("one"))
    assert said(path) == "one"


# -- functions -------------------------------------------------------------------------------------


def test_the_tools_of_other_modules_are_not_those_of_this_one(tmp_path: Path) -> None:
    module = ModuleType("house")
    inner, other = SAYS.format("inner"), SAYS.format("other")
    for name, source in (("house.kitchen", inner), ("housekeeping", other)):
        guest = ModuleType(name)
        exec(source, vars(guest))
        setattr(module, name.replace(".", "_"), guest.x)
    exec(SAYS.format("own"), vars(module))
    module.again = module.x  # type: ignore[attr-defined]
    assert [function() for function in marked(module)] == ["inner", "own"]


def test_an_argument_about_an_effect_needs_the_effect_declared() -> None:
    @tool(effects=("reads",))
    def copy(source: ReadPath, target: WritePath | None = None) -> None:
        """Copy."""

    with pytest.raises(ToolError, match="has an argument about 'writes': declare that effect"):
        made(copy)


def test_an_argument_is_about_one_effect() -> None:
    @tool(effects=("reads", "network"))
    def fetch(source: ReadPath | Url) -> None:
        """Fetch."""

    with pytest.raises(ToolError, match="the argument 'source' is about two effects"):
        made(fetch)


def test_what_a_tool_gives_back_is_no_argument() -> None:
    """Its path would be one that nobody asks about."""

    @tool(effects=("reads",))
    def newest(folder: str) -> ReadPath:
        """Find the newest file."""
        return Path(folder)

    assert made(newest).touches == {}


def test_a_generator_that_has_to_be_awaited_is_no_tool() -> None:
    @tool
    async def ticks() -> AsyncIterator[int]:
        """Tick."""
        yield 1

    with pytest.raises(ToolError, match="'ticks' is async"):
        made(ticks)


@pytest.mark.parametrize("name", ["", "a b", "1st", "ü", "a" * 65, "a.b", "a\n", "{{ x }}"])
def test_names_that_models_do_not_take_are_refused(name: str) -> None:
    def nameless() -> None:
        """Do nothing."""

    if name:
        with pytest.raises(ToolError, match="is no name for a tool"):
            tool_of(tool(name=name)(nameless), Path("x"))
    else:
        assert tool_of(tool(name=name)(nameless), Path("x")).name == "nameless"


def test_effects_as_one_word_are_told_apart_from_a_list() -> None:
    @tool(effects="reads")  # type: ignore[arg-type]
    def read() -> None:
        """Read."""

    with pytest.raises(ToolError, match="'r' is no effect; there are: reads, writes, network"):
        made(read)


def test_a_role_that_there_is_not_is_told() -> None:
    @tool(roles=("paint",))  # type: ignore[arg-type]
    def paint() -> None:
        """Paint."""

    with pytest.raises(ToolError, match="'paint' is no role; there are: chat, embed, transcribe"):
        made(paint)
