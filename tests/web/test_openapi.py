"""Requests made up from our own description: whatever comes, nothing of it is an error of ours."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.core.result import Ok

from .conftest import SECRET, Served

SKIP = ("/api/runs/{run}/events", "/api/memory/{collection}/documents")
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
