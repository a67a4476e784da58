"""Mend a small Python program until its test passes.

The test that counts is ours, put beside the program in a folder of its own, so that nobody can mend
the test instead.  It runs in the sandbox: a model has written what it runs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from agentkit.jobs import Job, Limits
from agentkit.sandbox import BubblewrapSandbox
from bench.agent.objective import Check, Objective, text_of

FAMILY = "fixing"
TOOLS = ("list_files", "read_file", "edit_file", "write_file", "run_python", "run_shell")


def passes(folder: Path, program: str, test: str) -> str:
    """What is wrong with a program, by a test."""
    text = text_of(folder / program)
    if text is None:
        return f"{program} is not there"
    with tempfile.TemporaryDirectory() as apart:
        for path in folder.iterdir():
            if path.is_file() and not path.is_symlink() and path.suffix in (".csv", ".txt"):
                (Path(apart) / path.name).write_bytes(path.read_bytes())
        (Path(apart) / program).write_text(text, encoding="utf-8")
        (Path(apart) / "test.py").write_text(test, encoding="utf-8")
        job = Job(("python3", "-B", "test.py"), Path(apart), limits=Limits(wall=20, cpu=20))
        result = BubblewrapSandbox().run(job)
    printed = result.stdout.decode("utf-8", "replace").split()
    if result.exit_code == 0 and printed[-1:] == ["passed"]:
        return ""
    last = result.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    return f"its test fails: {last[0] if last else result.stopped or result.exit_code}"


def _passes(program: str, test: str, more: str) -> Check:
    """By the test that everybody can see, and by more of the same kind."""
    ends = "print('passed')"
    assert ends in test
    whole = test.replace(ends, f"{more}\n{ends}")
    return lambda folder, answer: passes(folder, program, whole)


def _replace(folder: Path, name: str, old: str, new: str) -> str:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    return "The test passes now."


def _ask(program: str, test: str) -> str:
    return (
        f"The program {program} is wrong: its test {test} fails. Run the test, find the fault, and "
        f"mend {program} so that the test passes. Do not change the test."
    )


# -- a wrong name ----------------------------------------------------------------------------------

GREET = {
    "greet.py": (
        '"""Greetings."""\n\n\ndef greet(name, loud=False):\n    text = f"Hello, {nmae}!"\n'
        "    return text.upper() if loud else text\n"
    ),
    "test_greet.py": (
        "from greet import greet\n\nassert greet('Ada') == 'Hello, Ada!'\n"
        "assert greet('Bo', loud=True) == 'HELLO, BO!'\nprint('passed')\n"
    ),
}

# -- one too few -----------------------------------------------------------------------------------

WINDOW = {
    "window.py": (
        '"""Averages over a window that moves along a list."""\n\n\ndef moving(values, size):\n'
        "    result = []\n    for start in range(len(values) - size):\n"
        "        part = values[start : start + size]\n        result.append(sum(part) / size)\n"
        "    return result\n"
    ),
    "test_window.py": (
        "from window import moving\n\nassert moving([1, 2, 3, 4], 2) == [1.5, 2.5, 3.5], "
        "moving([1, 2, 3, 4], 2)\nassert moving([5], 1) == [5], moving([5], 1)\nprint('passed')\n"
    ),
}

# -- numbers that are texts ------------------------------------------------------------------------

BILL = {
    "bill.py": (
        '"""Adds up a bill."""\n\nimport csv\n\n\ndef total(path):\n    result = 0\n'
        "    with open(path, newline='') as file:\n        for row in csv.DictReader(file):\n"
        "            result += row['price'] * int(row['pieces'])\n    return round(result, 2)\n"
    ),
    "bill.csv": "item,price,pieces\npen,1.20,10\nink,4.75,2\npaper,6.00,3\n",
    "test_bill.py": (
        "from bill import total\n\nassert total('bill.csv') == 39.5, total('bill.csv')\n"
        "print('passed')\n"
    ),
}
OTHER_BILL = (
    "open('other.csv', 'w').write('item,price,pieces\\nglue,2.15,3\\n')\n"
    "assert total('other.csv') == 6.45"
)

# -- the wrong order -------------------------------------------------------------------------------

RANKING = {
    "ranking.py": (
        '"""The best players first; of those with the same points, in alphabetical order."""\n\n\n'
        "def ranking(points):\n"
        "    ordered = sorted(points.items(), key=lambda pair: (pair[1], pair[0]))\n"
        "    return [name for name, _ in ordered]\n"
    ),
    "test_ranking.py": (
        "from ranking import ranking\n\nfound = ranking({'Mia': 7, 'Bea': 9, 'Abe': 7, 'Zoe': 2})\n"
        "assert found == ['Bea', 'Abe', 'Mia', 'Zoe'], found\nprint('passed')\n"
    ),
}

OBJECTIVES = (
    Objective(
        "fixing-name",
        FAMILY,
        _ask("greet.py", "test_greet.py"),
        TOOLS,
        check=_passes("greet.py", GREET["test_greet.py"], "assert greet('Cy') == 'Hello, Cy!'"),
        solve=lambda folder: _replace(folder, "greet.py", "nmae", "name"),
        mistake=lambda folder: _replace(folder, "greet.py", "{nmae}", "Ada"),
        files=GREET,
    ),
    Objective(
        "fixing-window",
        FAMILY,
        _ask("window.py", "test_window.py"),
        TOOLS,
        check=_passes(
            "window.py", WINDOW["test_window.py"], "assert moving([1, 2, 3], 3) == [2], 'of three'"
        ),
        solve=lambda folder: _replace(folder, "window.py", "- size)", "- size + 1)"),
        mistake=lambda folder: _replace(folder, "window.py", "- size)", ")"),
        files=WINDOW,
    ),
    Objective(
        "fixing-bill",
        FAMILY,
        _ask("bill.py", "test_bill.py"),
        TOOLS,
        check=_passes("bill.py", BILL["test_bill.py"], OTHER_BILL),
        solve=lambda folder: _replace(folder, "bill.py", "row['price']", "float(row['price'])"),
        mistake=lambda folder: _replace(folder, "test_bill.py", "assert total", "total"),
        files=BILL,
    ),
    Objective(
        "fixing-ranking",
        FAMILY,
        _ask("ranking.py", "test_ranking.py"),
        TOOLS,
        check=_passes(
            "ranking.py",
            RANKING["test_ranking.py"],
            "assert ranking({'B': 1, 'A': 1, 'C': 3}) == ['C', 'A', 'B'], 'of three'",
        ),
        solve=lambda folder: _replace(folder, "ranking.py", "(pair[1]", "(-pair[1]"),
        mistake=lambda folder: _replace(folder, "ranking.py", "pair[0]))", "pair[0]))[::-1]"),
        files=RANKING,
    ),
)
