"""The catalog: what ships is right, and what is wrong in a user's own is told with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentkit.config import Roles
from agentkit.errors import InvalidFile
from agentkit.models import load_catalog
from agentkit.models.catalog import WheelSet


def test_the_roles_of_the_settings_are_in_the_shipped_catalog() -> None:
    models = load_catalog().models

    for role, name in Roles().model_dump().items():
        assert models[name].role == role


def test_the_default_models_have_digest_and_size_for_every_file() -> None:
    models = load_catalog().models

    for name in Roles().model_dump().values():
        assert all(file.sha256 and file.size for file in models[name].files)


def test_there_are_models_for_a_gpu_from_their_official_places() -> None:
    models = load_catalog().models

    for name in ("qwen3-4b", "qwen3-8b", "qwen3-14b"):
        assert str(models[name].sources[0]).startswith("hf:Qwen/")
    assert {"whisper-large-v3-turbo", "multilingual-e5-small"} <= set(models)
    assert all(entry.licence in ("Apache-2.0", "MIT") for entry in models.values())


def test_numbered_wheels_are_written_once() -> None:
    row = WheelSet(package="p-{n}", version="1.0", count=11, members={"m": "p_{n}/part{n:02}.bin"})

    wheels = list(row.wheels())

    assert wheels[0] == ("p-1==1.0", {"m": "p_1/part01.bin"})
    assert wheels[10] == ("p-11==1.0", {"m": "p_11/part11.bin"})
    assert str(row) == "p-1..11==1.0"


def test_an_entry_of_the_user_replaces_a_shipped_one_and_the_others_stay(tmp_path: Path) -> None:
    own = tmp_path / "catalog.yaml"
    own.write_text(
        "models:\n  smollm2-135m:\n    role: chat\n    summary: mine\n"
        "    files: [{path: a.gguf}]\n    sources: [{file: /tmp/a.gguf}]\n"
    )

    models = load_catalog(own).models

    assert models["smollm2-135m"].summary == "mine"
    assert "whisper-base" in models


def test_a_catalog_that_does_not_exist_adds_nothing(tmp_path: Path) -> None:
    assert load_catalog(tmp_path / "catalog.yaml") == load_catalog()


@pytest.mark.parametrize("empty", ["", "models: {}\n", "# nothing yet\n"])
def test_an_empty_catalog_adds_nothing(tmp_path: Path, empty: str) -> None:
    own = tmp_path / "catalog.yaml"
    own.write_text(empty)

    assert load_catalog(own) == load_catalog()


SOURCE = "    sources: [{file: /m}]\n"


@pytest.mark.parametrize(
    ("body", "place", "said"),
    [
        ("    roel: chat\n    files: [{path: m}]\n" + SOURCE, "3:5", 'did you mean "role"'),
        ("    role: chta\n    files: [{path: m}]\n" + SOURCE, "3:11", 'did you mean "chat"'),
        ("    role: chat\n    license: MIT\n    files: [{path: m}]\n" + SOURCE, "4:5", '"licence"'),
        ("    role: chat\n    files: [{path: ../m}]\n" + SOURCE, "4:20", "without '..'"),
        ("    role: chat\n    files: [{path: /m}]\n" + SOURCE, "4:20", "without '..'"),
        ("    role: chat\n    files: [{path: m, sha256: 12}]\n" + SOURCE, "4:31", "a string"),
        ("    role: chat\n    files: [{path: m, size: -1}]\n" + SOURCE, "4:29", "greater"),
        ("    role: chat\n    files: []\n" + SOURCE, "4:12", "at least 1"),
        ("    role: chat\n    files: [{path: m}]\n    sources: []\n", "5:14", "at least 1"),
        (
            "    role: chat\n    files: [{path: m}]\n    sources: [{hf: a/b, file: /m}]\n",
            "5:15",
            "exactly one of",
        ),
        ("    role: chat\n    files: [{path: m}]\n    sources: [{hf: nope}]\n", "5:20", "pattern"),
        (
            "    role: chat\n    files: [{path: m}]\n"
            "    sources: [{pypi: [{package: p, version: '1'}]}]\n",
            "5:23",
            "either 'members' or 'folder'",
        ),
    ],
)  # fmt: skip
def test_faults_are_shown_with_line_and_column(
    tmp_path: Path, body: str, place: str, said: str
) -> None:
    own = tmp_path / "catalog.yaml"
    own.write_text("models:\n  mine:\n" + body)

    with pytest.raises(InvalidFile) as caught:
        load_catalog(own)

    assert f"{own}:{place}:" in str(caught.value)
    assert said in str(caught.value)


def test_names_that_could_leave_the_store_are_refused(tmp_path: Path) -> None:
    own = tmp_path / "catalog.yaml"
    own.write_text(
        "models:\n  ../evil:\n    role: chat\n    files: [{path: m}]\n    sources: [{file: /m}]\n"
    )

    with pytest.raises(InvalidFile, match="cannot name a model"):
        load_catalog(own)
