"""Two who work in the same folder, whatever they do: nothing of either is lost without a word."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.cancel import CancelToken
from agentkit.jobs import Apart
from agentkit.sandbox.apart import copied
from agentkit.sandbox.work import lent

PATHS = ("a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "c/a")

Act = tuple[str, str]
"""A path, and what becomes of it: a text, a folder, a link, or nothing."""

ACTS = st.lists(
    st.tuples(st.sampled_from(PATHS), st.sampled_from(["1", "2", "/", "->", ""])), max_size=4
)


def do(folder: Path, acts: Sequence[Act]) -> None:
    """What cannot be done, because there is a file where a folder would have to be, is not."""
    for name, what in acts:
        path = folder / name
        with suppress(FileNotFoundError, FileExistsError, NotADirectoryError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            if what == "/":
                path.mkdir()
            elif what == "->":
                path.symlink_to("nowhere")
            elif what:
                path.write_text(what)


def files(folder: Path) -> dict[str, str]:
    """What is in a folder but for folders."""
    return {
        str(path.relative_to(folder)): "->" if path.is_symlink() else path.read_text()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@settings(max_examples=150, deadline=None)
@given(ACTS, ACTS, ACTS)
def test_each_finds_what_it_did_or_there_is_a_conflict(
    before: Sequence[Act], ours: Sequence[Act], theirs: Sequence[Act]
) -> None:
    with tempfile.TemporaryDirectory() as base:
        home, place = Path(base, "work"), Path(base, "place")
        home.mkdir()
        do(home, before)
        was = files(home)
        with copied(home, place, CancelToken()) as copy:
            with lent(copy.path, CancelToken()) as work:
                stamps = work.contents()
                do(copy.path, ours)
                left = work.settle(stamps)
            do(home, theirs)
            own, other = files(copy.path), files(home)
            conflicts = copy.bring_back(left, Apart(place, "it"), CancelToken())
        found = files(home)

    if conflicts:
        assert found == other
        return
    for path in {*was, *own, *other, *found}:
        a, b, c = was.get(path), own.get(path), other.get(path)
        assert a in (b, c) or b == c, f"{path} was changed by both"
        assert found.get(path) == (c if a == b else b)


@settings(max_examples=60, deadline=None)
@given(ACTS, ACTS)
def test_one_alone_has_no_conflict(before: Sequence[Act], ours: Sequence[Act]) -> None:
    with tempfile.TemporaryDirectory() as base:
        home, place = Path(base, "work"), Path(base, "place")
        home.mkdir()
        do(home, before)
        with copied(home, place, CancelToken()) as copy:
            with lent(copy.path, CancelToken()) as work:
                stamps = work.contents()
                do(copy.path, ours)
                left = work.settle(stamps)
            whole = sorted(str(one.relative_to(copy.path)) for one in copy.path.rglob("*"))
            own = files(copy.path)
            conflicts = copy.bring_back(left, Apart(place, "it"), CancelToken())

        assert conflicts == {}
        assert files(home) == own
        assert sorted(str(one.relative_to(home)) for one in home.rglob("*")) == whole
