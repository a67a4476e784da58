"""Rename the files of a folder by a rule; what is in them stays."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.agent.objective import Check, Objective, names, text_of

FAMILY = "renaming"
TOOLS = ("list_files", "rename_files", "run_python", "read_file")


def _all_renamed(files: Mapping[str, str], new: Mapping[str, str]) -> Check:
    """The files have their new names and nothing else has happened to them."""

    def check(folder: Path, answer: str) -> str:
        there = names(folder)
        for old, text in files.items():
            name = new.get(old, old)
            if (found := text_of(folder / name)) != text:
                return f"{name} is {'not what it was' if found is not None else 'not there'}"
        left = sorted(there & (set(new) - set(new.values())))
        return f"{left[0]} is still there" if left else ""

    return check


def _rename(rule: Callable[[str], str]) -> Callable[[Path], str]:
    def rename(folder: Path) -> str:
        for path in sorted(folder.iterdir()):
            path.rename(path.with_name(rule(path.name)))
        return "They have their new names."

    return rename


def _dated(name: str) -> str:
    return re.sub(r"^report (\d\d)-(\d\d)-(\d{4})\.txt$", r"\3-\2-\1-report.txt", name)


def _american(name: str) -> str:
    return re.sub(r"^report (\d\d)-(\d\d)-(\d{4})\.txt$", r"\3-\1-\2-report.txt", name)


PHOTOS = {f"IMG_{n:04}.jpg": f"picture {n}\n" for n in (12, 13, 17, 18, 21, 30)}
PHOTOS["list.txt"] = "IMG_0012.jpg is the best one.\n"
SONGS = {
    name: f"words of {name}\n"
    for name in (
        "Blue Moon.txt",
        "Autumn Leaves.txt",
        "My Way.txt",
        "yesterday.txt",
        "Let It Be.txt",
    )
}
REPORTS = {
    f"report {day}.txt": f"Report of {day}\n"
    for day in ("14-03-2026", "02-04-2026", "11-12-2025", "30-01-2026")
}

OBJECTIVES = (
    Objective(
        "renaming-photos",
        FAMILY,
        "Rename the photos in this folder: IMG_0012.jpg becomes holiday-0012.jpg, and all the "
        "other IMG_ files likewise, each with its own number. Leave list.txt as it is.",
        TOOLS,
        check=_all_renamed(
            PHOTOS, {n: n.replace("IMG_", "holiday-") for n in PHOTOS if n.startswith("IMG_")}
        ),
        solve=_rename(lambda name: name.replace("IMG_", "holiday-")),
        mistake=_rename(lambda name: name.replace("IMG_00", "holiday-")),
        files=PHOTOS,
    ),
    Objective(
        "renaming-lower",
        FAMILY,
        "Give the files in this folder names in lower case with hyphens instead of spaces: Blue "
        "Moon.txt becomes blue-moon.txt.",
        TOOLS,
        check=_all_renamed(SONGS, {n: n.lower().replace(" ", "-") for n in SONGS}),
        solve=_rename(lambda name: name.lower().replace(" ", "-")),
        mistake=_rename(lambda name: name.lower().replace(" ", "_")),
        files=SONGS,
    ),
    Objective(
        "renaming-dates",
        FAMILY,
        "The names of the reports have day-month-year in them. Rename each so that it begins with "
        "the year: report 14-03-2026.txt becomes 2026-03-14-report.txt.",
        TOOLS,
        check=_all_renamed(REPORTS, {n: _dated(n) for n in REPORTS}),
        solve=_rename(_dated),
        mistake=_rename(_american),
        files=REPORTS,
    ),
)
