"""Whatever is in a file, `check` ends with problems and not with a traceback."""

from __future__ import annotations

import re
from pathlib import Path
from time import thread_time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentkit.config import shipped
from agentkit.errors import InvalidFile, UserError
from agentkit.toolbox import Toolbox
from agentkit.workflow.load import load
from agentkit.workflow.others import Folders
from agentkit.yamlfile import MAX_BYTES

from .mutations import mutants

TOOLS = Toolbox([shipped("tools")])
MODELS = ("qwen2.5-coder-1.5b",)
OTHERS = Folders([shipped("workflows")])
VALID = Path(__file__).parent / "valid"
SOURCES = [
    path.read_text(encoding="utf-8")
    for path in [*sorted(VALID.glob("*.yaml")), *sorted(shipped("workflows").glob("*.yaml"))]
]

FEW = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def checked(path: Path, raw: bytes) -> None:
    """Load it within a second; problems must point into the file, other errors must name it."""
    path.write_bytes(raw)
    error: UserError | None = None
    began = thread_time()
    try:
        load(path, TOOLS, MODELS, OTHERS, ["gpu"])
    except UserError as caught:
        error = caught
    assert thread_time() - began < 1
    if isinstance(error, InvalidFile):
        assert error.problems
        lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", raw.decode("utf-8-sig", "replace"))
        for problem in error.problems:
            assert 1 <= problem.line <= len(lines)
            assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
            assert problem.length >= 1
            assert problem.message
            assert not re.search(r"Input should|NoneType|pydantic|Traceback", problem.render())
    elif error:
        assert str(path) in str(error)


@FEW
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path: Path, raw: bytes) -> None:
    checked(tmp_path / "w.yaml", raw)


PIECES = st.sampled_from(
    [
        "\n", "  ", "- ", ": ", "a", "steps", "inputs", "id", "prompt", "${{ ", " }}", "{",
        "}", "[", "]", "'", '"', "|\n", ">-\n", "#", "&x ", "*x", "<<: ", "!t ", "\t", "? ",
        "%", "---\n", "\\", "1", "~", "é", "\u2028", "\x85", "\r", "\ufeff", "\U0001f389", ",",
        "null", "true", ".nan", "0x",
    ]
)  # fmt: skip


@FEW
@given(st.lists(PIECES, max_size=30))
def test_anything_that_looks_like_yaml(tmp_path: Path, pieces: list[str]) -> None:
    checked(tmp_path / "w.yaml", "".join(pieces).encode())


@FEW
@given(st.data())
def test_valid_workflows_with_a_piece_cut_out_or_put_in(
    tmp_path: Path, data: st.DataObject
) -> None:
    text = data.draw(st.sampled_from(SOURCES))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 20)))
        text = text[:start] + "".join(data.draw(st.lists(PIECES, max_size=3))) + text[end:]
    checked(tmp_path / "w.yaml", text.encode())


KEYS = st.sampled_from(
    [
        "version", "name", "inputs", "steps", "outputs", "defaults", "prompt", "id", "if",
        "foreach", "uses", "with", "output_schema", "items", "as", "text", "examples",
        "question", "answer", "type", "default", "needs", "run", "env", "approve", "retry",
        "timeout", "cache", "queue", "secrets", "concurrency", "finally", "key", "bash",
        "enum", "minimum", "maximum", "pattern",
        "required", "model", "value", "properties", "$ref", "stop",
    ]
)  # fmt: skip
LEAVES = st.sampled_from(
    [
        None, True, 0, -1, 1.5, float("nan"), "", "a", "object", "array", "integer", "number",
        "list", "write_file", "verify_notes", "${{ inputs.a }}", "${{ steps.a.outputs.b }}",
        "${{ item }}", "${{", "{{ a }}", "([",
    ]
)  # fmt: skip
TREES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


def as_flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {as_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_flow, value)) + "]"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return {None: "null", True: "true"}.get(value, ".nan" if value != value else str(value))


@FEW
@given(st.dictionaries(KEYS, TREES, max_size=3), st.lists(st.dictionaries(KEYS, TREES), max_size=3))
def test_our_words_in_any_arrangement(
    tmp_path: Path, top: dict[str, Any], steps: list[dict[str, Any]]
) -> None:
    checked(tmp_path / "w.yaml", as_flow({**top, "steps": steps}).encode())


@pytest.mark.parametrize("seed", range(10))
def test_two_thousand_files_with_a_mistake_or_two(tmp_path: Path, seed: int) -> None:
    for text in mutants(SOURCES, 200, seed):
        checked(tmp_path / "w.yaml", text.encode())


# -- files that are no text of ours ----------------------------------------------------------------


def problem(path: Path, raw: bytes) -> str:
    path.write_bytes(raw)
    with pytest.raises(UserError) as caught:
        load(path, TOOLS, MODELS)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_text_that_is_not_utf8_is_shown_where_it_begins_to_fail(tmp_path: Path) -> None:
    raw = "name: a\nsteps:\n  - id: größe\n".encode("latin-1")

    assert problem(tmp_path / "w.yaml", raw) == (
        "w.yaml:3:11: the byte 0xf6 is not UTF-8 text. save the file as UTF-8 [not-utf8]\n"
        "  |\n"
        "3 |   - id: gr\ufffd\ufffde\n"
        "  |           ^"
    )


def test_utf16_is_recognised(tmp_path: Path) -> None:
    said = problem(tmp_path / "w.yaml", "name: a\n".encode("utf-16"))

    assert said == "w.yaml:1:1: this is UTF-16 text. save the file as UTF-8 [not-utf8]"


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    said = problem(tmp_path / "w.yaml", "\ufeffname: a\nstep: []\n".encode())

    assert 'w.yaml:2:1: unknown key "step". did you mean "steps"?' in said


def test_a_control_character_is_shown_where_it_stands(tmp_path: Path) -> None:
    said = problem(tmp_path / "w.yaml", b"name: a\nsteps: \x00\n")

    assert said.startswith("w.yaml:2:8: the character U+0000 cannot stand in a text file")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    said = problem(tmp_path / "w.yaml", b"# " + b"x" * MAX_BYTES)

    assert said == "w.yaml: too large: a file like this may have 1 MB"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").mkdir()
    with pytest.raises(UserError, match=r"w\.yaml: cannot be read: Is a directory"):
        load(tmp_path / "w.yaml", TOOLS, MODELS)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"w\.yaml: no such file"):
        load(tmp_path / "w.yaml", TOOLS, MODELS)


@pytest.mark.parametrize(
    "text", ["[" * 900, "{a: " * 900, "- " * 900, "a: " + "[" * 150 + "]" * 150]
)
def test_deep_nesting(tmp_path: Path, text: str) -> None:
    said = problem(tmp_path / "w.yaml", text.encode())

    assert "nested more than 100 levels deep" in said or "never closed" in said


def test_a_reference_in_a_merged_mapping_is_shown_where_it_is_written(tmp_path: Path) -> None:
    text = (
        "name: a\n"
        "steps:\n"
        "  - &first\n"
        "    id: a\n"
        "    prompt: ${{ inputs.x }}\n"
        "  - <<: *first\n"
        "    id: b\n"
    )
    said = problem(tmp_path / "w.yaml", text.encode())

    assert said.startswith('w.yaml:5:24: there is no input "x"')
    assert said.count("\n") == 3
