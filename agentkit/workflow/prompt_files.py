"""Prompts in files of their own, beside the workflow: found and read."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from agentkit.errors import UserError
from agentkit.values import dataclass
from agentkit.workflow.spec import Workflow
from agentkit.yamlfile import Document, NodePath, Place, Span

MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class PlainText(Document):
    """A text file as a document: every character stands where it stands."""

    def inside(self, path: NodePath, offset: int, length: int) -> Place:
        """See `Document.inside`."""
        return self.place_of(Span(offset, offset + length))


def read(name: str, folder: Path, kept: Mapping[str, str] | None = None) -> PlainText:
    """A file of prompts, by its name beside the workflow, or as a run kept it.

    Raises `UserError` for one that is elsewhere or cannot be read.
    """
    path = folder / name
    if kept is not None and name in kept:
        return _document(path, kept[name])
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{name} is not beside the workflow: a prompt lies in its folder")
    try:
        raw = path.read_bytes()
        text = raw.decode()
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise UserError(f"{path} is too large for a prompt")
    return _document(path, text)


def named(spec: Workflow, folder: Path, kept: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the files of prompts say that a workflow names; those that cannot be read are left out.

    The checker has told of them, or will when that workflow is run.
    """
    found: dict[str, str] = {}
    for step in spec.every_step():
        if step.prompt is not None and step.prompt.file is not None:
            with suppress(UserError):
                found[step.prompt.file] = read(step.prompt.file, folder, kept).text
    return found


def _document(path: Path, text: str) -> PlainText:
    return PlainText(str(path), text, text, values={(): Span(0, len(text))})
