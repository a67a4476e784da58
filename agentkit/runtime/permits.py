"""Settings, a run and a workflow in, grants out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentkit.config import Settings
from agentkit.permissions import Effect, Profile, Verdict
from agentkit.toolbox.grants import Grants, Narrowing

if TYPE_CHECKING:
    from agentkit.workflow.load import LoadedWorkflow


def grants(
    settings: Settings,
    profile: Profile,
    folder: Path,
    *,
    handed: Iterable[Path] = (),
    narrowings: Iterable[Narrowing] = (),
) -> Grants:
    """What tools may touch in a run.

    The folder of the run is its own; `handed` are files that a person gave to it, and what is given
    may be read.  Code in a sandbox can touch nothing else, so it needs no question.
    """
    allowed = getattr(settings.permissions, profile)
    safe: dict[Effect, Verdict] = {"executes": "allow"} if settings.sandbox != "none" else {}
    read = allowed.read
    if read is None:
        read = [Path.cwd()] if profile == "interactive" and Path.cwd() != Path("/") else []
    return Grants(
        tools=allowed.tools,
        read=tuple(path.resolve() for path in read),
        write=tuple(path.resolve() for path in allowed.write),
        hosts=tuple(allowed.hosts),
        effects={**safe, **allowed.effects},
        otherwise=allowed.otherwise,
        own=tuple(path.resolve() for path in handed),
        own_write=(folder.resolve(),),
        narrowings=tuple(narrowings),
    )


def narrowing(workflow: LoadedWorkflow) -> Narrowing:
    """What a workflow file leaves of the grants; its folders are relative to where it is run."""
    said = workflow.spec.permissions

    def folders(given: list[str] | None) -> tuple[Path, ...] | None:
        return None if given is None else tuple(Path(path).expanduser().resolve() for path in given)

    return Narrowing(
        f"`permissions` in {workflow.path}",
        tools=said.tools,
        read=folders(said.read),
        write=folders(said.write),
        hosts=said.hosts,
    )


def handed(workflow: LoadedWorkflow, given: Mapping[str, Any]) -> Iterator[Path]:
    """The files and folders among the inputs that the caller gave, and that are no defaults."""
    for name, declared in workflow.spec.inputs.items():
        value = given.get(name)
        if declared.type in ("file", "folder") and value and value != declared.default:
            yield Path(value)
