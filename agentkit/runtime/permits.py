"""Settings, a run and a workflow in, grants out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentkit.config import Settings
from agentkit.errors import InvalidInput, ToolRetry, UserError
from agentkit.permissions import Effect, Profile, Verdict
from agentkit.toolbox.grants import Grants, Narrowing
from agentkit.toolbox.paths import full_path, real_path

if TYPE_CHECKING:
    from agentkit.workflow.load import LoadedWorkflow


def grants(
    settings: Settings,
    profile: Profile,
    folder: Path,
    *,
    handed: Iterable[Path] = (),
    narrowings: Iterable[Narrowing] = (),
    here: Path | None = None,
) -> Grants:
    """What tools may touch in a run.

    The folder of the run is its own; a person in front of it is in the folder `here`, None: that of
    this process.  `handed` are files that a person gave to it, and what is given
    may be read.  Code in a sandbox can touch nothing else, so it needs no question.
    """
    allowed = getattr(settings.permissions, profile)
    safe: dict[Effect, Verdict] = {"executes": "allow"} if settings.sandbox != "none" else {}
    read = allowed.read
    if read is None:
        read = _looked_into(here) if profile == "interactive" else []
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


def _looked_into(here: Path | None) -> list[Path]:
    """The current folder; not the whole machine, and nothing where it was removed."""
    try:
        folder = here or Path.cwd()
        return [folder] if folder != Path("/") else []
    except FileNotFoundError:
        return []


def narrowing(workflow: LoadedWorkflow, here: Path | None = None) -> Narrowing:
    """What a workflow file leaves of the grants; its folders are relative to where it is run.

    Raises `UserError` for what cannot be a folder.
    """
    said = workflow.spec.permissions
    source = f"`permissions` in {workflow.path}"

    def folders(given: list[str] | None) -> tuple[Path, ...] | None:
        return None if given is None else tuple(_folder(path, here, source) for path in given)

    return Narrowing(
        source,
        tools=said.tools,
        read=folders(said.read),
        write=folders(said.write),
        hosts=said.hosts,
    )


def _folder(path: str, here: Path | None, source: str) -> Path:
    try:
        return real_path(full_path(here or Path.cwd(), path))
    except ToolRetry as error:
        raise UserError(f"{source}: {error}") from None


def handed(
    workflow: LoadedWorkflow, inputs: Mapping[str, Any], here: Path | None = None
) -> Iterator[Path]:
    """The files and folders among the inputs of a run that a person gave.

    What a workflow file brings as a default nobody has handed over.
    """
    for name, declared in workflow.spec.inputs.items():
        value = inputs.get(name)
        if declared.type not in ("file", "folder") or not value:
            continue
        if not _leads_to(declared.default, value, here or Path.cwd()):
            yield Path(value)


def check_named(workflow: LoadedWorkflow, given: Mapping[str, Any], settings: Settings) -> None:
    """Let a program name no files but those that runs without a person may read anyway.

    It could ask otherwise which files there are.  Raises `InvalidInput`.
    """
    readable = [folder.resolve() for folder in settings.permissions.unattended.read or ()]
    for name, declared in workflow.spec.inputs.items():
        if declared.type in ("file", "folder") and isinstance(given.get(name), str):
            path = _real(given[name])
            if path is None or not any(path.is_relative_to(folder) for folder in readable):
                said = f'input "{name}": this token may name no files but those that runs may read'
                raise InvalidInput(said, hint="permissions.unattended.read in settings")


def _real(text: str) -> Path | None:
    try:
        return Path(text).expanduser().resolve()
    except (ValueError, RuntimeError, OSError):  # no path at all, or one in nobody's home
        return None


def _leads_to(default: object, value: str, here: Path) -> bool:
    """Whether a full path has come of a default.

    A run may be resumed in another folder than the one that a relative default began in; then one
    that climbs or is hidden is known by how it ends.
    """
    if not isinstance(default, str):
        return False
    path = Path(default).expanduser()
    if not path.is_absolute() and any(part.startswith(".") for part in path.parts):
        return Path(value).parts[-len(path.parts) :] == path.parts
    return Path(value) == here / path
