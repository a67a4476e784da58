"""Which links lead out of a folder: decided by their text alone, and never wrongly."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.sandbox.work import leads_out


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("x", "/etc"),
        ("x", "/work/y"),
        ("x", ".."),
        ("x", "../y"),
        ("x", "./../y"),
        ("a/x", "../.."),
        ("a/x", "../../a/y"),
        ("a/x", "b/../../.."),
        ("x", "a/.."),
        ("x", "data"),
        ("x", "data/file"),
        ("a/x", "..//./data/file"),
    ],
)
def test_it_leads_out_or_may(path: str, target: str) -> None:
    assert leads_out(path, target, {"data"})


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("x", "y"),
        ("x", "x"),
        ("x", "."),
        ("x", "a/b//c/"),
        ("a/x", ".."),
        ("a/b/x", "../../c"),
        ("a/b/x", ".././../c"),
        ("x", "data2"),
        ("x", "a/data"),
        ("x", "..."),
    ],
)
def test_it_stays_within(path: str, target: str) -> None:
    assert not leads_out(path, target, {"data"})


names = st.sampled_from(["a", "b", "c"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
targets = st.lists(st.one_of(names, st.just("..")), min_size=1, max_size=5).map("/".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(paths, max_size=4), st.dictionaries(paths, targets, max_size=6))
def test_where_no_link_leads_out_nobody_gets_out(folders: list[str], links: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place).resolve() / "root"
        root.mkdir()
        for folder in folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
        made = []
        for path, target in links.items():
            link = root / path
            real = link.parent.is_dir() and link.parent.resolve() == link.parent
            if real and not os.path.lexists(link) and not leads_out(path, target):
                link.symlink_to(target)
                made.append(link)

        for link in made:
            assert Path(os.path.realpath(link)).is_relative_to(root)
