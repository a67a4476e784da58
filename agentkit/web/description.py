"""What /openapi.json says of all operations: who needs a token, and how a refusal looks.

FastAPI knows nothing of the gate in front of it, and expects that faults of a request are a 422.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from agentkit.web.gate import needed
from agentkit.web.problems import SHAPE

BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "The token in the home, or one of `agentkit tokens create`.",
}
USUAL = ("HTTPValidationError", "ValidationError")
"""Schemas of a 422, which nothing here answers with for a fault of a request."""


class Described(FastAPI):
    """An application whose description is true."""

    def openapi(self) -> dict[str, Any]:
        """See FastAPI."""
        if self.openapi_schema is None:
            _complete(super().openapi())
        return super().openapi()


def _complete(description: dict[str, Any]) -> None:
    parts = description.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for name in USUAL:
        schemas.pop(name, None)
    schemas["Refusal"] = SHAPE
    parts["securitySchemes"] = {"HTTPBearer": BEARER}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            if answers.pop("422", None) or "requestBody" in operation:
                answers["400"] = _refusal("The request is wrong.")
            if needed(method.upper(), path) != "nothing":
                operation["security"] = [{"HTTPBearer": []}]
                answers["401"] = _refusal("The token is missing or wrong.")
                answers["403"] = _refusal("The token is not for that.")


def _refusal(why: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Refusal"}
    return {"description": why, "content": {"application/json": {"schema": schema}}}
