"""Files that runs made: those on record, and no others."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from agentkit.errors import UnknownName
from agentkit.records import ArtifactRecord
from agentkit.web.service import Here

router = APIRouter(prefix="/api", tags=["runs"])


@router.get("/runs/{run}/artifacts")
def artifacts(run: str, here: Here) -> list[ArtifactRecord]:
    """What there is."""
    journal = here.runtime.journal
    return journal.artifacts(journal.run(run).id)


@router.get("/runs/{run}/artifacts/{path:path}", response_class=FileResponse)
def artifact(run: str, path: str, here: Here) -> FileResponse:
    """One file.  A browser saves it and shows nothing: what is in it was written by a model."""
    journal = here.runtime.journal
    found = journal.run(run).id
    named = {one.path: one for one in journal.artifacts(found)}
    folder = (here.runtime.settings.runs_folder / found).resolve()
    file = (folder / path).resolve() if path in named else folder
    if not file.is_relative_to(folder) or not file.is_file():
        raise UnknownName("file", path, named, hint=f"agentkit runs show {found}")
    return FileResponse(
        file,
        filename=file.name,
        media_type="application/octet-stream",
        headers={"X-Content-Type-Options": "nosniff"},
    )
