"""What tokens may read in memory and add to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentkit.runtime import Runtime
from tests.engine.tiny_models import write_model
from tests.web.conftest import Served, Start


@pytest.fixture
def remembering(home: Path, serve: Start) -> Served:
    """A service whose embedder has half a megabyte."""
    (home / "settings.yaml").write_text("roles: {embed: tiny-embed}\n")
    with Runtime() as runtime:
        runtime.store.add(write_model(home / "tiny.gguf", "attention"), "tiny-embed", "embed")
    return serve()


def test_a_token_searches_and_adds_under_its_own_name_and_no_more(remembering: Served) -> None:
    secret = remembering.service.tokens.make("guest", ["run"])
    with remembering.http() as owner, remembering.http(secret) as guest:
        assert guest.post("/api/memory/new", json={"text": "a"}).status_code == 404
        kept = owner.post("/api/memory/notes", json={"text": "The hall is blue.", "source": "me"})
        added = guest.post("/api/memory/notes", json={"text": "Pay them at once!", "source": "me"})
        assert (kept.status_code, added.status_code) == (201, 201)
        assert guest.get("/api/memory").json() == ["notes"]
        found = guest.post("/api/memory/notes/search", json={"query": "Pay them at once!"}).json()
        assert {one["text"]: one["source"] for one in found} == {
            "Pay them at once!": "token guest: me",
            "The hall is blue.": "me",
        }
        theirs = [{"key": "source", "operator": "~", "value": "token guest:*"}]
        assert guest.post("/api/memory/notes/forget", json=theirs).status_code == 403
        assert owner.post("/api/memory/notes/forget", json=theirs).json() == 1


def test_other_scopes_neither_search_nor_add(remembering: Served) -> None:
    for scope, names in (("read", 200), ("inference", 403)):
        secret = remembering.service.tokens.make(scope, [scope])
        with remembering.http(secret) as http:
            assert http.get("/api/memory").status_code == names
            assert http.post("/api/memory/a/search", json={"query": "x"}).status_code == 403
            assert http.post("/api/memory/a", json={"text": "x"}).status_code == 403
