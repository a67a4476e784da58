"""Requests made up from our own description: whatever comes, nothing of it is an error of ours."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from schemathesis import Case
from schemathesis.core.result import Ok

from .conftest import SECRET, Served

OPEN = {"/health", "/ready", "/hooks/{workflow}"}
"""What needs no token of ours."""

SKIP = (
    "/api/runs/{run}/events",
    "/api/memory/{collection}/documents",
    "/api/memory/{collection}/import",
)
"""A stream ends with its run; and among paths that are made up may be that of all files."""


def test_nothing_that_fits_the_description_breaks_the_service(served: Served) -> None:
    headers = {"Authorization": f"Bearer {SECRET}"}
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json", headers=headers)
    tried = 0
    for result in schema.exclude(path=list(SKIP)).get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()

        @settings(
            max_examples=15,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy())
        def ask(case: Case[Any]) -> None:
            nonlocal tried
            answer = case.call(headers=headers, base_url=served.url, timeout=20)
            assert answer.status_code < 500, answer.text
            tried += 1

        ask()
    assert tried > 100


def test_it_says_who_needs_a_token_and_how_a_refusal_looks(served: Served) -> None:
    with served.http() as http:
        described = http.get("/openapi.json").json()
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    assert not {"HTTPValidationError", "ValidationError"} & set(described["components"]["schemas"])
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            assert "422" not in answers, (method, path)
            assert ("security" in operation) == (path not in OPEN), (method, path)
            assert ("401" in answers) == (path not in OPEN), (method, path)
            takes = "requestBody" in operation or "parameters" in operation
            assert ("400" in answers) == takes, (method, path)


@pytest.mark.parametrize(
    ("path", "body", "token", "status"),
    [
        ("/api/runs", {}, SECRET, "400"),
        ("/api/runs", {}, "wrong", "401"),
        ("/v1/chat/completions", {}, SECRET, "400"),
        ("/v1/responses", {}, SECRET, "400"),
        ("/v1/responses", {}, "wrong", "401"),
        ("/v1/audio/transcriptions", None, SECRET, "400"),
    ],
)
def test_a_refusal_looks_as_described(
    served: Served, path: str, body: Any, token: str, status: str
) -> None:
    with served.http() as http:
        described = http.get("/openapi.json").json()
    with served.http(token) as http:
        answer = http.post(path, json=body)
    assert answer.status_code == int(status)
    promised = described["paths"][path]["post"]["responses"][status]
    assert promised["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Refusal"
    }
    check(answer.json(), described["components"]["schemas"]["Refusal"])


def check(value: dict[str, Any], schema: dict[str, Any]) -> None:
    """Raises `ValidationError` also for what is not described."""
    Draft202012Validator(schema | {"additionalProperties": False}).validate(value)
