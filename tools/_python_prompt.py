"""A program that runs the Python on its stdin as the Python prompt would: the value of the last
expression is printed.  People and models who are used to the prompt leave out the print.

    python -c "$(cat _python_prompt.py)" < code.py

The code finds itself as the main module, with nothing of this program in it.  What goes wrong is
told by the lines of the code and of the modules beside it, without those of libraries, which are
many and say little to who did not write them.
"""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Iterator
from pathlib import Path
from traceback import StackSummary, TracebackException
from types import CodeType, ModuleType

NAME = "code.py"
"""What the code is called where it goes wrong."""


def main() -> None:
    """Run what stdin says."""
    source = sys.stdin.buffer.read().decode()
    module = ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = [NAME]
    linecache.cache[NAME] = (len(source), None, source.splitlines(keepends=True), NAME)
    try:
        for part in parts(source):
            exec(part, module.__dict__)  # noqa: S102 - what it is for
    except SystemExit:
        raise
    except BaseException as error:
        sys.stderr.writelines(told(error))
        sys.exit(1)


def parts(source: str) -> Iterator[CodeType]:
    """The code, and its last expression as the prompt would show it."""
    tree = ast.parse(source, NAME)
    last = [tree.body.pop()] if tree.body and isinstance(tree.body[-1], ast.Expr) else []
    yield compile(tree, NAME, "exec", dont_inherit=True)
    yield compile(ast.Interactive([*last]), NAME, "single", dont_inherit=True)


def told(error: BaseException) -> Iterator[str]:
    """An error and what led to it, as Python tells it, by the lines that are the code's own."""
    whole = TracebackException.from_exception(error)
    one: TracebackException | None = whole
    while one is not None:
        own = [frame for frame in one.stack or () if is_own(frame.filename)]
        one.stack = StackSummary.from_list(own) if own else None  # type: ignore[assignment]
        one = one.__cause__ or one.__context__
    return whole.format()


def is_own(file: str) -> bool:
    """Whether it is the code, or a module in its folder."""
    return file == NAME or Path(file).is_relative_to(Path.cwd())


if __name__ == "__main__":
    main()
