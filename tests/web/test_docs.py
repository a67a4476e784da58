"""The commands and the program of the page on the service work."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from agentkit.client import Client
from agentkit.whereabouts import alone
from agentkit.whereabouts import said as telling

from .conftest import LIMIT, SECRET, Served

PAGE = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def as_on_the_page(served: Served) -> Served:
    """Its workflow, without a model; its token, and a service that says where it is."""
    (served.home / "workflows" / "hard-question.yaml").write_text(
        "name: hard-question\ninputs: {question: {}}\nsteps:\n"
        '  - {id: a, uses: say, with: {text: "${{ inputs.question }}"}}\n'
        'outputs: {said: "${{ steps.a.outputs }}"}\n'
    )
    token = served.home / "service-token"
    token.write_text(SECRET)
    token.chmod(0o600)
    return served


def test_the_commands_of_the_page(as_on_the_page: Served) -> None:
    (script,) = blocks("bash")
    script = script.replace("localhost:8374", f"localhost:{as_on_the_page.port}")
    script = script.replace("~/.agentkit", str(as_on_the_page.home))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("curl -s", "curl -sSf")],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"hard-question"' in done.stdout
    assert "event: RunFinished" in done.stdout
    assert "agentkit_runs_under_way" in done.stdout


def test_the_program_of_the_page(
    as_on_the_page: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = blocks("python")
    settings = as_on_the_page.service.runtime.settings
    with alone(settings), telling(settings, as_on_the_page.url):
        exec(compile(program, "service.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert (said[0], said[-2]) == ("RunStarted", "RunFinished")
    assert said[-1] == "{'said': '…'}"


def test_the_table_names_what_there_is(served: Served) -> None:
    with served.http() as http:
        described = http.get("/openapi.json").json()["paths"]
    table = "".join(line for line in PAGE.splitlines() if line.startswith("| `"))
    named = set(re.findall(r"/(?:api|health|ready|metrics)[\w/]*", table))
    there = {re.sub(r"\{[^}]*\}", "X", path) for path in described}
    for path in named:
        plain = re.sub(r"/[A-Z]+\b", "/X", path).rstrip("/")
        assert any(one == plain or one.startswith(f"{plain}/") for one in there), path


def test_no_service_is_found_where_none_is(as_on_the_page: Served) -> None:
    assert Client.here() is None
    file = as_on_the_page.home / "service.json"
    gone = {"url": "http://127.0.0.1:9", "pid": 1, "version": "0", "settings": ""}
    file.write_text(json.dumps(gone))
    assert Client.here() is None
    file.write_text("{")
    assert Client.here() is None
