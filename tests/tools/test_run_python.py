"""Code of a model runs in the real sandbox; what goes wrong is told so that it can be mended."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import Cancelled, ToolError, ToolRetry

Call = Callable[..., Any]


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("print(1 + 1)", "2"),
        ("x = 3\nx * 2", "6"),
        ("'a'", "'a'"),
        ("x = [3, 1]\nx.sort()", "it printed nothing"),
        ("print('one')\n'two'", "one\n'two'"),
        ("def f():\n    return 7\n\nif __name__ == '__main__':\n    print(f())", "7"),
        ("from __future__ import annotations\nx: nothing = 1\nx", "1"),
        ("import pickle\nclass A: pass\ntype(pickle.loads(pickle.dumps(A()))).__name__", "'A'"),
        ("import sys\nprint(sys.argv, sorted(globals())[-1])", "['code.py'] sys"),
        ("```python\n1 + 2\n```", "3"),
        ("print('größer', '\\u20ac')", "größer €"),
        ("# nothing", "it printed nothing"),
        ("import sys\nprint('a warning', file=sys.stderr)", "it printed nothing\na warning"),
        ("import sys\nprint('one')\nsys.exit(0)", "one"),
    ],
)
def test_what_is_printed_and_the_last_value_come_back(call: Call, code: str, printed: str) -> None:
    assert call("run_python", code=code) == printed


def test_files_that_it_makes_are_results_of_the_run(call: Call, context: Any) -> None:
    told = call("run_python", code="from pathlib import Path\nPath('a.txt').write_text('hi');")

    assert told == "2"
    assert context.artifacts == [context.folder / "a.txt"]
    assert (context.folder / "a.txt").read_text() == "hi"
    assert call("run_python", code="x = open('b.txt', 'w').write('one\\ntwo')") == (
        "it printed nothing\nit made or changed: b.txt\nb.txt begins:\none\ntwo"
    )


def test_an_empty_file_is_said_to_be_empty(call: Call) -> None:
    told = call("run_python", code="x = open('b.txt', 'w')")

    assert told == "it printed nothing\nit made or changed: b.txt\nb.txt is empty"


def test_modules_in_the_folder_can_be_imported(call: Call, context: Any) -> None:
    (context.folder / "shapes.py").write_text("def area(r):\n    return 3 * r * r\n")

    assert call("run_python", code="from shapes import area\narea(2)") == "12"
    assert [path.name for path in context.folder.iterdir()] == ["shapes.py"]


def test_errors_beside_a_result_are_warnings(call: Call, context: Any) -> None:
    assert call("run_python", code="import sys\nprint('odd', file=sys.stderr)\n1") == "1"
    assert context.warnings == ["odd"]


# -- files from elsewhere ------------------------------------------------------------------------


def test_files_are_handed_in_to_be_read(call: Call, context: Any) -> None:
    path = context.granted / "data.csv"
    path.write_text("1,2\n")

    assert call("run_python", code="open('/inputs/data.csv').read()", files=[str(path)]) == (
        "'1,2\\n'"
    )
    with pytest.raises(ToolRetry, match="Read-only file system"):
        call("run_python", code="open('/inputs/data.csv', 'w')", files=[str(path)])
    assert path.read_text() == "1,2\n"


def test_files_that_cannot_be_handed_in(call: Call, context: Any, elsewhere: Path) -> None:
    for name in ("a", "b"):
        (context.folder / name).mkdir()
        (context.folder / name / "x.txt").touch()
    (context.folder / "link").symlink_to(elsewhere / "secret.txt")

    with pytest.raises(ToolRetry, match=r"there is no file 'c\.txt'"):
        call("run_python", code="1", files=["c.txt"])
    with pytest.raises(ToolRetry, match=r"two files are named 'x\.txt'"):
        call("run_python", code="1", files=["a/x.txt", "b/x.txt"])
    with pytest.raises(ToolError, match="'link' may not be read"):
        call("run_python", code="1", files=["link"])


# -- what goes wrong -----------------------------------------------------------------------------


def hint(call: Call, code: str) -> str:
    with pytest.raises(ToolRetry) as caught:
        call("run_python", code=code)
    return str(caught.value)


def test_an_error_is_told_by_the_lines_of_the_code(call: Call) -> None:
    code = "import json\n\ndef load(text):\n    return json.loads(text)\n\nprint('go')\nload('{')"

    told = [line for line in hint(call, code).splitlines() if line.strip(" ~^")]

    assert told[:-3] == [
        "it ended with exit code 1",
        "Traceback (most recent call last):",
        '  File "code.py", line 7, in <module>',
        "    load('{')",
        '  File "code.py", line 4, in load',
        "    return json.loads(text)",
    ]
    assert told[-3].startswith("json.decoder.JSONDecodeError: Expecting property name")
    assert told[-2:] == ["it had printed:", "go"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("a = [1\nprint(a)", ['File "code.py", line 1', "SyntaxError: '[' was never closed"]),
        ("x = 1\\nprint(x)", ["SyntaxError", "Write real line breaks, not \\n."]),
        ("import pandass", ["No module named 'pandass'", "Only the standard library"]),
        ("import pandas", ["csv.DictReader(open('FILE.csv'))"]),
        ("float('amount')", ["The first row of a CSV file names the columns"]),
        ("name = input('name?')", ["EOFError", "write values into the code instead of input()"]),
        ("open('/home/me/a.csv')", ["FileNotFoundError", "the argument files are /inputs/NAME"]),
        ("open('/etc/hosts', 'w')", ["Write to relative paths"]),
        ("import urllib.request as r\nr.urlopen('http://example.org')", ["get what you need with"]),
        ("import sys\nsys.exit('not today')", ["it ended with exit code 1\nnot today"]),
        ("import os\nos.kill(os.getpid(), 11)", ["it crashed: Segmentation fault"]),
        ("raise KeyboardInterrupt", ['File "code.py", line 1, in <module>', "KeyboardInterrupt"]),
        (" \n", ["code is empty"]),
        ("for n in range(99): print(n)\n1 / 0", ["[...]\n79\n80\n", "\n98", "ZeroDivisionError"]),
        ("(" * 300 + ")" * 300, ["code.py", "too many nested parentheses"]),
    ],
)
def test_what_models_do_wrong_is_answered_with_what_to_do(
    call: Call, code: str, said: list[str]
) -> None:
    told = hint(call, code)

    for piece in said:
        assert piece in told
    assert "_python_prompt" not in told
    assert "<string>" not in told


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('go')\nwhile True: pass", "it (took|computed for) too long.*\nit had printed:\ngo"),
        ("import time\ntime.sleep(99)", "it took too long and was ended"),
        ("while True: print('x' * 9999)", "it printed too much and was ended"),
        ("x = bytearray(10**9)", "MemoryError|it needed too much memory"),
    ],
)
def test_limits_are_those_of_the_settings(call: Call, context: Any, code: str, said: str) -> None:
    context.settings = {"seconds": 2, "memory_mb": 200}

    with pytest.raises(ToolRetry, match=said):
        call("run_python", code=code)


def test_a_cancel_ends_it(call: Call, context: Any) -> None:
    timer = threading.Timer(0.5, context.cancel.cancel)
    timer.start()

    with pytest.raises(Cancelled):
        call("run_python", code="import time\ntime.sleep(50)")
    timer.join()


def test_nothing_outside_is_seen_or_changed(
    call: Call, context: Any, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", "very secret")

    told = call(
        "run_python",
        code=f"import os\nprint(os.path.exists({str(elsewhere)!r}), os.environ.get('A_TOKEN'))",
    )

    assert told == "False None"


def test_a_link_that_leads_out_is_no_result(call: Call, context: Any, elsewhere: Path) -> None:
    call("run_python", code=f"import os\nos.symlink({str(elsewhere / 'secret.txt')!r}, 'a.txt')")

    assert context.artifacts == []
    assert not os.path.lexists(context.folder / "a.txt")
