"""A script says in its header what it takes, and is run in the real sandbox with it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import Cancelled
from agentkit.outcomes import Failed, Outcome, Retry, Returned
from agentkit.permissions import Access
from agentkit.sandbox import BubblewrapSandbox
from agentkit.testing import ScriptedServices
from agentkit.toolbox import Toolbox
from agentkit.toolbox.grants import Grants
from agentkit.toolbox.script import HEAD_BYTES

from .calls import Door, door


def write(
    folder: Path, header: str, body: str = "", *, name: str = "a.sh", mode: int = 0o755
) -> Path:
    """A shell script with this header."""
    lines = "".join(f"# {line}\n" for line in header.split("\n"))
    path = folder / name
    path.write_text(f"#!/bin/sh\n# /// tool\n{lines}# ///\n{body}\n")
    path.chmod(mode)
    return path


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    return folder


def bad(tools: Path) -> str:
    """Why the one file there is no tool."""
    box = Toolbox([tools])
    assert list(box) == []
    (one,) = box.bad
    assert one.source.parent == tools
    return one.reason


# -- headers ---------------------------------------------------------------------------------------

WRONG = {
    "not a mapping": ("hello", "a.sh:3:3: must be a mapping, not the string"),
    "a list": ("- a", "a.sh:3:3: must be a mapping, not a list"),
    "empty": ("", 'a.sh:1:1: the file needs the key "description"'),
    "no description": ("arguments: {}", 'the file needs the key "description"'),
    "wrong type": ("description: {a: 1}", "a.sh:3:16: must be a string, not a mapping"),
    "unknown key": ("description: A.\nargumnts: {}", 'a.sh:4:3: unknown key "argumnts". did you'),
    "unknown key of an argument": (
        "description: A.\narguments:\n  x: {typ: file}",
        'a.sh:5:9: unknown key "typ". did you mean "type"?',
    ),
    "unknown type": (
        "description: A.\narguments:\n  x: {type: int}",
        'a.sh:5:15: "int" is not one of',
    ),
    "bad YAML": ("description: a: b", 'a.sh:3:17: text with ": " in it needs quotes'),
    "bad YAML further down": ("description: A.\nname: b\narguments: {x: {}", "a.sh:"),
    "tabs": ("description: A.\narguments:\n\tx: {}", "a.sh:5:"),
    "no time": ("description: A.\ntimeout: 0", "a.sh:4:12: must be greater than 0"),
    "unknown output": ("description: A.\noutput: yaml", 'a.sh:4:11: "yaml" is not one of'),
    "no name": ("description: A.\nname: a b", "'a b' is no name for a tool"),
    "no name of an argument": ("description: A.\narguments: {A-b: {}}", "'A-b' is no name for an"),
    "empty choice": ("description: A.\narguments:\n  x: {enum: []}", "a.sh:5:15: must have"),
    "bad default": (
        "description: A.\narguments:\n  x: {type: integer, default: many}",
        "the default of 'x': must be an integer, not the string \"many\"",
    ),
    "default beyond its bounds": (
        "description: A.\narguments:\n  x: {type: integer, minimum: 1, default: 0}",
        "the default of 'x': must be 1 or greater, not 0",
    ),
    "default that is no choice": (
        "description: A.\narguments:\n  x: {enum: [a, b], default: c}",
        "the default of 'x': \"c\" is not one of",
    ),
    "bounds of a text": (
        "description: A.\narguments:\n  x: {minimum: 3}",
        "a.sh:5:8: minimum and maximum are for an integer or a number",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_a_header_that_is_wrong_is_reported_with_its_place(tools: Path, kind: str) -> None:
    header, reason = WRONG[kind]
    write(tools, header)
    assert reason in bad(tools)
    assert "Error" not in bad(tools)


def test_a_header_that_does_not_end_is_reported(tools: Path) -> None:
    path = tools / "a.sh"
    path.write_text("#!/bin/sh\n# /// tool\n# description: A.\necho\n")
    path.chmod(0o755)
    assert bad(tools) == f"{path}:3: the header does not end: close it with # ///"


def test_a_header_that_does_not_end_where_a_file_is_read_is_reported(tools: Path) -> None:
    write(tools, "description: A.\n" + "note\n" * HEAD_BYTES)
    assert "the header does not end" in bad(tools)


def test_a_script_that_cannot_be_executed_is_told_how_to_become_one(tools: Path) -> None:
    path = write(tools, "description: A.", name="my script.sh", mode=0o644)
    path.write_text(path.read_text().replace("A.", "A.\n# name: a"))
    assert bad(tools) == f"has a header, but cannot be executed: chmod +x '{path}'"


def test_a_program_without_a_header_is_reported(tools: Path) -> None:
    (tools / "program").write_bytes(bytes(range(256)) * 500)
    (tools / "program").chmod(0o755)
    assert "has no header that says its arguments" in bad(tools)


def test_only_the_head_of_a_huge_program_is_read(tools: Path) -> None:
    path = write(tools, "description: A.")
    with path.open("r+b") as stream:
        stream.truncate(10**12)
    assert list(Toolbox([tools])) == ["a"]


def test_a_file_that_may_not_be_read_is_reported(tools: Path) -> None:
    write(tools, "description: A.", mode=0o311)
    tools.chmod(0o755)
    top = Path(tempfile.gettempdir())
    for folder in tools.parents:
        if top in folder.parents:
            folder.chmod(folder.stat().st_mode | 0o055)
    code = (
        "import os, sys; from pathlib import Path; from agentkit.toolbox.sources import "
        "FolderSource; os.geteuid() or os.setuid(65534); "  # root may read everything
        "print(*[bad.reason for bad in FolderSource(Path(sys.argv[1])).scan().bad])"
    )
    done = subprocess.run([sys.executable, "-c", code, tools], capture_output=True, text=True)
    assert done.stdout.startswith("PermissionError: [Errno 13] Permission denied"), done.stderr


@pytest.mark.parametrize("comment", ["#", "//", "--", ";", "%"])
def test_every_language_has_its_comments(tools: Path, comment: str) -> None:
    path = tools / "a.x"
    path.write_text(
        f"#!/usr/bin/env x\n{comment} /// tool\n{comment} description: A.\n{comment} ///\n"
    )
    path.chmod(0o755)
    assert Toolbox([tools])["a"].description == "A."


def test_line_ends_of_windows_are_line_ends(tools: Path) -> None:
    path = write(tools, "description: A.\narguments:\n  x: {type: integer, description: Ä.}")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    tool = Toolbox([tools])["a"]
    assert tool.description == "A."
    assert tool.parameters.json_schema["properties"]["x"]["description"] == "Ä."


def test_only_the_end_of_a_line_ends_it(tools: Path) -> None:
    write(tools, 'description: "one\u2028two"')
    assert Toolbox([tools])["a"].description.startswith("one")


def test_a_header_in_the_middle_of_a_line_is_none(tools: Path) -> None:
    path = tools / "a.py"
    path.write_text(
        'from agentkit import tool\n\n\n@tool\ndef a() -> str:\n    """A.\n\n'
        '    # /// tool\n    # description: no\n    # ///\n    """\n    return ""\n'
    )
    assert Toolbox([tools])["a"].description.startswith("A.")


def test_the_schema_is_what_the_header_says(tools: Path) -> None:
    write(
        tools,
        "description: >\n  Count\n  things.\nname: count-things\narguments:\n"
        "  path: {type: file, description: The file.}\n"
        "  unit: {enum: [words, 2], default: words}\n"
        "  top: {type: integer, minimum: 1, maximum: 9, default: null}\n"
        "  deep: {type: object, default: {}}\n",
    )
    tool = Toolbox([tools])["count-things"]
    assert (tool.description, tool.effects) == ("Count things.", ("reads", "executes"))
    schema = tool.parameters.json_schema
    assert schema["required"] == ["path"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["path"] == {"type": "string", "description": "The file."}
    assert schema["properties"]["unit"]["enum"] == ["words", 2]
    assert tool.accesses({"path": Path("x"), "top": None}, tools) == (
        Access("reads", str(tools / "x")),
        Access("executes"),
    )


# -- calls -----------------------------------------------------------------------------------------


@pytest.fixture
def call(tools: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """Call the one script there is; `given` and the folder of the run may be read."""
    (tmp_path / "given").mkdir()

    def call(**arguments: Any) -> Outcome:
        return a_door(tools, tmp_path)("a", **arguments)

    return call


def a_door(tools: Path, tmp_path: Path) -> Door:
    (tool,) = Toolbox([tools]).values()
    return door(
        tmp_path,
        tool,
        grants=Grants(effects={"executes": "allow"}, read=(tmp_path / "given",)),
        services=ScriptedServices(sandbox=BubblewrapSandbox()),
    )


def test_arguments_are_in_the_environment_and_on_stdin(
    tools: Path, call: Callable[..., Outcome]
) -> None:
    write(
        tools,
        "description: A.\noutput: json\narguments:\n  text: {}\n  number: {type: number}\n"
        "  flag: {type: boolean, default: false}\n  items: {type: list}\n"
        "  none: {default: null}\n",
        'env -0 | grep -zE "^(text|number|flag|items|none)=" | sort -z | python3 -c "'
        "import json, sys; print(json.dumps(sys.stdin.read().split(chr(0))))"
        '"',
    )
    assert call(text="a\nb $(id) ü", number=1.5, items=[1, {"a": "ü"}]) == Returned(
        ["flag=false", 'items=[1, {"a": "\\u00fc"}]', "number=1.5", "text=a\nb $(id) ü", ""]
    )
    write(tools, "description: A.\noutput: json\narguments: {text: {}, b: {default: ü}}", "cat")
    assert call(text="x") == Returned({"text": "x", "b": "ü"})


def test_a_long_argument_is_on_stdin_alone(tools: Path, call: Callable[..., Outcome]) -> None:
    write(tools, "description: A.\narguments: {text: {}}", 'echo "${text-none}"; wc -c')
    long = "x" * 200_000
    assert call(text=long) == Returned(f"none\n{len(json.dumps({'text': long}))}")


def test_a_file_that_was_granted_is_seen_inside(
    tools: Path, call: Callable[..., Outcome], tmp_path: Path
) -> None:
    (tmp_path / "given" / "a.txt").write_text("content")
    write(tools, "description: A.\narguments: {path: {type: file}}", 'echo "$path"; cat "$path"')
    assert call(path=str(tmp_path / "given/a.txt")) == Returned("/inputs/path.txt\ncontent")


def test_a_file_of_the_run_is_in_its_folder(
    tools: Path, call: Callable[..., Outcome], tmp_path: Path
) -> None:
    (tmp_path / "run" / "deep").mkdir(parents=True)
    (tmp_path / "run" / "deep" / "a.txt").write_text("content")
    write(tools, "description: A.\narguments: {path: {type: file}}", 'echo "$path"; cat "$path"')
    assert call(path="deep/a.txt") == Returned("/work/deep/a.txt\ncontent")


def test_an_argument_called_tool_does_not_become_the_program(
    tools: Path, call: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Whatever name an argument has: the file that somebody hands in is data."""
    (tmp_path / "given" / "evil.sh").write_text("#!/bin/sh\necho I am the tool\n")
    (tmp_path / "given" / "evil.sh").chmod(0o755)
    write(tools, "description: A.\narguments: {tool: {type: file}, the_tool: {type: file}}",
          "echo mine")  # fmt: skip
    evil = str(tmp_path / "given" / "evil.sh")
    assert call(tool=evil, the_tool=evil) == Returned("mine")


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("/etc/shadow", "needs_approval"),
        ("../elsewhere.txt", "needs_approval"),
        ("link", "needs_approval"),
        ("nothing.txt", "retry"),
        ("a\0b", "retry"),
    ],
)
def test_a_file_that_was_not_granted_is_not_seen(
    tools: Path, call: Callable[..., Outcome], tmp_path: Path, path: str, outcome: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere.txt").write_text("secret")
    (tmp_path / "run" / "link").symlink_to(tmp_path / "elsewhere.txt")
    write(tools, "description: A.\narguments: {path: {type: file}}", 'cat "$path"')
    assert call(path=path).status == outcome


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("echo 'not that' >&2; exit 75", Retry("not that")),
        ("exit 75", Retry("a asks for a better call, and does not say how")),
        ("echo out; echo 'broken' >&2; exit 3", Failed("a: it ended with exit code 3\nbroken")),
        ("kill -9 $$", Failed("a: it crashed: Killed")),
        ("printf '  two\\n\\n'", Returned("  two")),
        ("printf '\\377'", Returned("\ufffd")),
        ("true", Returned("")),
    ],
)
def test_how_it_ends_is_what_comes_of_it(
    tools: Path, call: Callable[..., Outcome], body: str, outcome: Outcome
) -> None:
    write(tools, "description: A.", body)
    assert plainly(call()) == plainly(outcome)


def plainly(outcome: Outcome) -> tuple[str, Any]:
    match outcome:
        case Returned(value):
            return outcome.status, value
        case Retry(said) | Failed(said):
            return outcome.status, said
    raise AssertionError(outcome)


@pytest.mark.parametrize("printed", ["no JSON", "", "{'a': 1}", "1 2"])
def test_output_that_is_not_the_json_it_promised_is_told(
    tools: Path, call: Callable[..., Outcome], printed: str
) -> None:
    write(tools, "description: A.\noutput: json", f'printf "%s" "{printed}"')
    outcome = call()
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("a says output: json, and printed something else: ")


def test_a_script_beyond_its_time_is_stopped(tools: Path, call: Callable[..., Outcome]) -> None:
    write(tools, "description: A.\ntimeout: 0.3", "echo begun >&2; sleep 60")
    outcome = call()
    assert isinstance(outcome, Failed)
    assert outcome.reason == "a: it took too long and was ended: do less, or do it in parts\nbegun"


def test_what_it_writes_is_a_result_of_the_run(tools: Path, tmp_path: Path) -> None:
    write(tools, "description: A.", "mkdir -p out; echo 1 > out/a.txt; echo 2 > b.txt")
    opened = a_door(tools, tmp_path)
    assert opened("a") == Returned("")
    names = sorted(str(path.relative_to(tmp_path / "run")) for path in opened.report.artifacts)
    assert names == ["b.txt", "out/a.txt"]


def test_a_script_that_is_cancelled_has_not_failed(tools: Path, tmp_path: Path) -> None:
    write(tools, "description: A.", "touch begun; sleep 60")
    opened = a_door(tools, tmp_path)

    def stop() -> None:
        while not (tmp_path / "run" / "begun").exists():
            pass
        opened.cancel.cancel("enough")

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(Cancelled, match="enough"):
        opened("a")
    thread.join()
    assert opened.report.returns == [
        ("cancelled", 46, "it was interrupted: what it did is not known")
    ]


def test_what_a_script_prints_about_templates_stays_text(
    tools: Path, call: Callable[..., Outcome]
) -> None:
    write(tools, "description: A.", "echo '${{ run.folder }} {{ 7 * 7 }} <|im_start|>system'")
    assert call() == Returned("${{ run.folder }} {{ 7 * 7 }} <|im_start|>system")
