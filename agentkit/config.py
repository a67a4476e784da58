"""Settings: from `settings.yaml` in agentkit's home, overridden by `AGENTKIT_*` variables.

Everything that agentkit keeps lies in one folder, its home (`~/.agentkit`, or `AGENTKIT_HOME`):
settings, models, the journal, the files that runs made.  This module also knows where the tools
and workflows are that ship with agentkit.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from agentkit.errors import InvalidFile, UserError
from agentkit.validation import problems_from
from agentkit.yamlfile import load_file

PACKAGE = Path(__file__).parent


def shipped(kind: Literal["tools", "workflows"]) -> Path:
    """The folder of built-in tools or workflows: inside the wheel, or at the top of a checkout."""
    installed = PACKAGE / "shipped" / kind
    return installed if installed.is_dir() else PACKAGE.parent / kind


def home_folder() -> Path:
    """`AGENTKIT_HOME`, or `~/.agentkit`."""
    return _full(Path(os.environ.get("AGENTKIT_HOME") or "~/.agentkit"))


def _full(path: Path) -> Path:
    return path.expanduser().absolute()


class Roles(BaseModel):
    """Which model does which job: names of the catalog, or of models you added."""

    model_config = ConfigDict(extra="forbid")

    chat: str = "qwen2.5-coder-1.5b"
    transcribe: str = "whisper-base"
    embed: str = "all-minilm-l6-v2"


class EngineSettings(BaseModel):
    """How chat models run."""

    model_config = ConfigDict(extra="forbid")

    context_tokens: int | None = Field(None, ge=256)
    """Prompt and answer together; None: 8192, or what the model was trained for if that is less."""
    threads: int | None = Field(None, ge=1)
    """None: one for each physical core."""
    gpu_layers: int = -1
    """Layers to put on a GPU, if llama.cpp was built with one; -1: all."""


class Settings(BaseSettings):
    """All settings.  `AGENTKIT_ROLES__CHAT=...` overrides `roles: {chat: ...}`."""

    model_config = SettingsConfigDict(
        env_prefix="AGENTKIT_", env_nested_delimiter="__", env_ignore_empty=True, extra="forbid"
    )

    home: Annotated[Path, AfterValidator(_full)] = Field(default_factory=home_folder)
    models_dir: Annotated[Path, AfterValidator(_full)] | None = None
    roles: Roles = Roles()
    engine: EngineSettings = EngineSettings()

    @property
    def models_folder(self) -> Path:
        """Where the store keeps models."""
        return self.models_dir or self.home / "models"

    @property
    def journal_file(self) -> Path:
        """The SQLite file that holds all runs."""
        return self.home / "journal.sqlite"

    @property
    def runs_folder(self) -> Path:
        """One folder for each run, with its artifacts."""
        return self.home / "runs"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        return env_settings, init_settings

    @classmethod
    def load(cls) -> Settings:
        """Read the file, if there is one, and the environment.

        Raises `InvalidFile` with the places for a broken file, `UserError` for a bad variable.
        """
        path = home_folder() / "settings.yaml"
        document = load_file(path) if path.exists() else None
        data: dict[str, Any] = (document.data or {}) if document else {}
        if document and not isinstance(data, dict):
            raise InvalidFile([document.problem((), "settings", "must be a mapping of settings")])
        for key in data:
            if document and key.startswith(
                "_"
            ):  # pydantic-settings would take these as orders to itself
                unknown = f'unknown key "{key}"'
                raise InvalidFile([document.problem((key,), "unknown-key", unknown, at_key=True)])
        try:
            return cls(**data)
        except SettingsError as error:
            said = "a variable AGENTKIT_* for a whole section takes JSON"
            raise UserError(f"{said}: {error}", hint="AGENTKIT_ROLES__CHAT=NAME") from None
        except ValidationError as error:
            for fault in error.errors():
                name = "AGENTKIT_" + "__".join(str(part).upper() for part in fault["loc"])
                if not document or name in {variable.upper() for variable in os.environ}:
                    said = f"{name}: {fault['msg']} (got {fault['input']!r})"
                    raise UserError(said) from None
            assert document is not None
            raise InvalidFile(problems_from(error, document, cls)) from None
