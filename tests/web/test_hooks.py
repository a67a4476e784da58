"""Signed requests start workflows, without a token; the page says how to send one."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from agentkit.schedule.hooks import signed

from .conftest import LIMIT, Served, Start

PAGE = (Path(__file__).parents[2] / "docs" / "schedule.md").read_text(encoding="utf-8")
SECRET = "a secret of some length"


@pytest.fixture
def hooked(serve: Start, home: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    """With the workflow and the settings of the page."""
    monkeypatch.setenv("HOOK", SECRET)
    (settings,) = (text for text in blocks("settings") if "secrets" in text)
    (home / "settings.yaml").write_text(settings)
    flow = blocks("yaml")[1].replace("run: 'echo \"$WHAT\"'", "run: 'true'")
    (home / "workflows" / "deployed.yaml").write_text(flow)
    served = serve()
    while post(served, b"", {}).status_code == 503:  # until it has looked at the files
        pass
    return served


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def post(served: Served, body: bytes, headers: dict[str, str]) -> httpx.Response:
    return httpx.post(f"{served.url}/hooks/deployed", content=body, headers=headers, timeout=LIMIT)


def test_the_request_of_the_page_starts_a_run(hooked: Served) -> None:
    (script,) = blocks("bash")
    script = script.replace("localhost:8374", f"localhost:{hooked.port}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("curl -s", "curl -sSf")],
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    run = re.search(r'"run":"([\w-]+)"', done.stdout)
    assert run is not None
    with hooked.client() as client:
        while not any(one.id == run[1] for one in client.runs()):  # it is taken, and begins soon
            pass
        assert client.details(run[1]).run.inputs == {"event": {"what": "it is out"}}


def test_what_is_refused_says_so_with_its_status(hooked: Served) -> None:
    body = b'{"what": "x"}'
    headers = signed("msg_1", body, SECRET, datetime.now(UTC))
    assert post(hooked, body, headers).status_code == 202
    again = post(hooked, body, headers)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "hook_refused")
    assert post(hooked, body + b" ", headers).status_code == 401
    other = httpx.post(f"{hooked.url}/hooks/greet", content=body, headers=headers, timeout=LIMIT)
    assert other.status_code == 404
