"""Settings: from `settings.yaml` in agentkit's home, overridden by `AGENTKIT_*` variables.

Everything that agentkit keeps lies in one folder, its home (`~/.agentkit`, or `AGENTKIT_HOME`):
settings, models, the journal, the files that runs made.  This module also knows where the tools
and workflows are that ship with agentkit.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from agentkit.errors import InvalidFile, UserError
from agentkit.hosts import HostPattern
from agentkit.permissions import Effect, Verdict
from agentkit.validation import explain, problems_from
from agentkit.yamlfile import load_file

PACKAGE = Path(__file__).parent

PREFIX = "AGENTKIT_"
HOME = "AGENTKIT_HOME"

MOST_PLACES = 1000
"""Of a queue."""


def shipped(kind: Literal["tools", "workflows"]) -> Path:
    """The folder of built-in tools or workflows: inside the wheel, or at the top of a checkout."""
    installed = PACKAGE / "shipped" / kind
    return installed if installed.is_dir() else PACKAGE.parent / kind


def home_folder() -> Path:
    """`AGENTKIT_HOME`, or `~/.agentkit`."""
    return _full(Path(os.environ.get(HOME) or "~/.agentkit"))


def _full(path: Path) -> Path:
    return path.expanduser().absolute()


def _layers(value: Any) -> Any:
    """One sentence for what pydantic would tell in two."""
    text = str(value)
    if isinstance(value, bool) or not (text == "auto" or re.fullmatch(r"-1|\d{1,5}", text)):
        raise ValueError(f'must be "auto", a number of layers, or -1 for all, not {value!r}')
    return value


def _address(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url):
        raise ValueError(f"must be an address such as http://gpu-box:8080/v1, not {url!r}")
    return url


def _name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", name):
        raise ValueError(f"{name!r} is no name: lower-case letters, digits, '.', '_' and '-' only")
    return name


def _server_name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", name):
        raise ValueError(f"{name!r} is no name: lower-case letters, digits and '-', 20 at most")
    return name


def _host(pattern: str) -> str:
    return str(HostPattern.of(pattern))


FullPath = Annotated[Path, AfterValidator(_full)]
Layers = Annotated[int | Literal["auto"], BeforeValidator(_layers)]
Address = Annotated[str, AfterValidator(_address)]
Name = Annotated[str, AfterValidator(_name)]
Host = Annotated[str, AfterValidator(_host)]


ServerName = Annotated[str, AfterValidator(_server_name)]


SECTION = ConfigDict(extra="forbid", defer_build=True)
"""A section is built with the settings that it is part of, and as it is where they say nothing."""


class Roles(BaseModel):
    """Which model does which job: names of the catalog, or of models you added."""

    model_config = SECTION

    chat: str = "qwen2.5-coder-1.5b"
    transcribe: str = "whisper-base"
    embed: str = "all-minilm-l6-v2"


class EngineSettings(BaseModel):
    """How models run on this machine, and how many of them."""

    model_config = SECTION

    context_tokens: int | None = Field(None, ge=256)
    """Prompts and answers together; None: from 4k to 32k, as memory and training allow."""
    threads: int | None = Field(None, ge=1)
    """None: one for each physical core."""
    gpu_layers: Layers = "auto"
    """Layers to put on GPUs, if llama.cpp was built for one; auto: as many as fit; -1: all."""
    kv_type: Literal["auto", "f16", "q8_0"] = "auto"
    """What the cache of a context is made of; auto: q8_0 where f16 would not fit."""
    slots: int = Field(8, ge=1, le=128)
    """Requests that a chat model works on at the same time."""
    queue: int = Field(256, ge=0)
    """Requests that may wait for a chat model; one more is told that it is busy."""
    prompt_cache: int = Field(1024, ge=0)
    """MiB of main memory, for each chat model, for what had to leave its context and may be
    asked about again; 0: it is read anew."""
    keep_alive: float = Field(600.0, ge=-1)
    """Seconds that an idle model stays in memory; 0: not at all; -1: for ever."""
    max_models: int | None = Field(None, ge=1)
    """Models in memory at the same time; None: as many as fit."""


class MemorySettings(BaseModel):
    """Where texts are remembered, and what counts as the same text."""

    model_config = SECTION

    collection: Name = "notes"
    """The one that is meant where none is named."""
    server: Address | None = None
    """A Chroma server for the index of vectors, such as `http://box:8000`; None: in the home."""
    token_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The environment variable that holds the token for the server."""
    same_meaning: float = Field(0.96, ge=0, le=1)
    """Cosine from which on two notes of nearly the same words count as one; 1: never."""


class RemoteSettings(BaseModel):
    """A chat model on another server that speaks OpenAI's API."""

    model_config = SECTION

    url: Address
    """Its address, such as `http://gpu-box:8080/v1`."""
    model: str | None = Field(None, min_length=1)
    """The name that the server gives it; None: the only one that it has."""
    token_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The environment variable that holds the token; settings hold no secrets."""
    context_tokens: int | None = Field(None, ge=256)
    """None: what the server says."""


class AdapterSettings(BaseModel):
    """A LoRA adapter that requests to a model may name."""

    model_config = SECTION

    model: str
    """The chat model that it was trained on."""
    file: FullPath
    """A GGUF file."""


class ProfilePermissions(BaseModel):
    """What tools may touch without asking.

    A name with a dot in front is not covered by a folder that is granted, only by itself; a private
    address only by its own name.
    """

    model_config = SECTION

    tools: dict[str, Verdict] = Field(default_factory=dict)
    """By name, or by a pattern such as `files__*`: allow, ask or deny."""
    read: list[FullPath] | None = None
    """Folders; None: the current one where a person is there, and none where nobody is."""
    write: list[FullPath] = Field(default_factory=list)
    """Folders."""
    hosts: list[Host] = Field(default_factory=list)
    """Such as `example.org`, `*.example.org`, `192.168.1.7:8080`; `*` is every public one."""
    effects: dict[Effect, Verdict] = Field(default_factory=dict)
    """For what no other line speaks of."""
    otherwise: Literal["ask", "deny"] = "ask"
    """Where nobody is there to ask, the run is parked."""


class Permissions(BaseModel):
    """What tools may do, with a person in front of the run and without one."""

    model_config = SECTION

    interactive: ProfilePermissions = Field(default_factory=ProfilePermissions.model_construct)
    unattended: ProfilePermissions = Field(default_factory=ProfilePermissions.model_construct)


class ToolSettings(BaseModel):
    """Where more tools are, and what single tools are told."""

    model_config = SECTION

    folders: list[FullPath] = Field(default_factory=list)
    """Folders with tools, beside the shipped ones and those in the home."""
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By the name of the tool: `agentkit tools show NAME` says which there are."""


class ServerSettings(BaseModel):
    """A program that offers tools over the Model Context Protocol."""

    model_config = SECTION

    command: list[str] | None = Field(None, min_length=1)
    """A program and its arguments, spoken to over stdin and stdout."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables for the program; it gets no others beside PATH, HOME and LANG."""
    pass_environment: list[str] = Field(default_factory=list)
    """Names of variables that it gets as they are here: for secrets."""
    url: Address | None = None
    """The address of a server that runs already (streamable HTTP)."""
    token_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The environment variable that holds the token for `url`."""
    tools: list[str] | None = None
    """The tools that are offered to models; None: all."""
    effects: list[Effect] | None = None
    """What its tools do to the world; None: everything, so that each call is asked about."""
    timeout: float = Field(60.0, gt=0)
    """Seconds for one call, and for the start."""

    @model_validator(mode="after")
    def _one_way(self) -> ServerSettings:
        if (self.command is None) == (self.url is None):
            raise ValueError("takes either a command or a url")
        return self


class ScheduleSettings(BaseModel):
    """Where files are whose `triggers` the service listens to."""

    model_config = SECTION

    folders: list[FullPath] = Field(default_factory=list)
    """Folders with workflows, beside `workflows` and `agents` in the home: whoever can write there
    starts things here.
    """


class ServiceSettings(BaseModel):
    """`agentkit serve`: where it listens, and how much it takes."""

    model_config = SECTION

    host: str = "127.0.0.1"
    """The address to listen on; another than that of this machine lets others on the network in,
    with a token."""
    port: int = Field(8374, ge=0, le=65535)
    names: list[str] = Field(default_factory=list)
    """Names under which others reach it, such as `box.local`: no other is answered."""
    origins: list[Annotated[str, Field(pattern=r"^https?://[^/*\s]+$")]] = Field(
        default_factory=list
    )
    """Web pages that may ask from a browser (CORS), such as `https://chat.example.org`."""
    runs: int = Field(64, ge=1)
    """Runs at the same time."""
    requests: int = Field(256, ge=1)
    """Requests that are answered at the same time."""
    rate: float = Field(100.0, gt=0)
    """Requests in a second that one token may make, on average."""
    body: int = Field(8_000_000, ge=1000)
    """Bytes of a request."""
    upload: int = Field(1_000_000_000, ge=1000)
    """Bytes of a recording."""
    patience: float = Field(20.0, ge=0)
    """Seconds that runs have to come to a place where they can go on later, when it stops."""


class ClusterQueue(BaseModel):
    """What a step of a queue takes on a machine of the cluster."""

    model_config = SECTION

    resource: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,99}$")
    """A resource of `ray start --resources`: only machines that have it do these steps."""
    amount: float = Field(1.0, gt=0)
    """How much of the resource."""
    num_cpus: float = Field(0.0, ge=0)
    """Cores, as `ray start --num-cpus` counts them."""
    num_gpus: float = Field(0.0, ge=0)
    """GPUs, as `ray start --num-gpus` counts them."""

    @model_validator(mode="after")
    def _takes_something(self) -> ClusterQueue:
        if not (self.resource or self.num_cpus or self.num_gpus):
            raise ValueError("names what a step takes: a resource, num_cpus or num_gpus")
        return self

    @property
    def bundle(self) -> dict[str, float]:
        """The same in Ray's words."""
        named = {} if self.resource is None else {self.resource: self.amount}
        taken = {"CPU": self.num_cpus, "GPU": self.num_gpus, **named}
        return {name: amount for name, amount in taken.items() if amount}


class ClusterSettings(BaseModel):
    """A Ray cluster that does the steps of some queues."""

    model_config = SECTION

    address: str = Field("auto", pattern=r"^(auto|[^\s/:]+:\d{1,5})$")
    """Where the head of the cluster listens, as `host:port`; auto: the one on this machine."""
    queues: dict[Name, ClusterQueue] = Field(default_factory=dict)
    """By the name of a queue.  One that `queues` does not name (it does `gpu`, with one place) has
    as many places as Ray gives."""
    largest: int = Field(4_000_000_000, ge=0)
    """Bytes of files that may travel for one step, in each direction."""


class SecretSource(BaseModel):
    """Where a secret is; settings hold none themselves."""

    model_config = SECTION

    env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """An environment variable."""
    file: FullPath | None = None
    """A file that holds nothing else."""
    keyring: str | None = Field(None, pattern=r"^[^/]+/.+$")
    """An entry of the system's keyring, as `service/user`."""

    @model_validator(mode="after")
    def _one_place(self) -> SecretSource:
        if sum(place is not None for place in (self.env, self.file, self.keyring)) != 1:
            raise ValueError("is in one place: env, file or keyring")
        return self


class Settings(BaseModel):
    """All settings.  `AGENTKIT_ROLES__CHAT=...` overrides `roles: {chat: ...}`."""

    model_config = ConfigDict(extra="forbid")

    def __init__(self, **given: Any) -> None:
        super().__init__(**_above(given, _variables(type(self))))

    home: FullPath = Field(default_factory=home_folder)
    models_dir: FullPath | None = None
    roles: Roles = Field(default_factory=Roles.model_construct)
    engine: EngineSettings = Field(default_factory=EngineSettings.model_construct)
    remotes: dict[Name, RemoteSettings] = Field(default_factory=dict)
    adapters: dict[Name, AdapterSettings] = Field(default_factory=dict)
    permissions: Permissions = Field(default_factory=Permissions.model_construct)
    sandbox: Literal["bubblewrap", "none"] = "bubblewrap"
    """`none` runs the code of models and scripts without a sandbox, with your own rights."""
    tools: ToolSettings = Field(default_factory=ToolSettings.model_construct)
    memory: MemorySettings = Field(default_factory=MemorySettings.model_construct)
    mcp: dict[ServerName, ServerSettings] = Field(default_factory=dict)
    service: ServiceSettings = Field(default_factory=ServiceSettings.model_construct)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings.model_construct)
    journal: str | None = None
    """The URL of a database of PostgreSQL; None: a file of SQLite in the home."""
    lease: float = Field(30.0, gt=0)
    """Seconds after which a run whose process gives no sign of life may be taken over."""
    secrets: dict[str, SecretSource] = Field(default_factory=dict)
    """What workflows may ask for by name."""
    queues: dict[Name, Annotated[int, Field(ge=1, le=MOST_PLACES)]] = Field(
        default_factory=lambda: {"gpu": 1}
    )
    """How many steps of all runs may be in a queue's places at a time."""
    cluster: ClusterSettings = Field(default_factory=ClusterSettings.model_construct)

    @model_validator(mode="after")
    def _queues_of_the_cluster(self) -> Settings:
        for name in self.cluster.queues:
            self.queues.setdefault(name, MOST_PLACES)
        return self

    @property
    def digest(self) -> str:
        """The same for the same settings, but for the service's own."""
        text = self.model_dump_json(exclude={"service"})
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def models_folder(self) -> Path:
        """Where the store keeps models."""
        return self.models_dir or self.home / "models"

    @property
    def journal_file(self) -> Path:
        """The SQLite file that holds all runs."""
        return self.home / "journal.sqlite"

    @property
    def schedule_folders(self) -> tuple[Path, ...]:
        """Where files may start by themselves what they say."""
        own = (self.home / "workflows", self.home / "agents")
        return (*own, *self.schedule.folders)

    @property
    def service_token(self) -> Path:
        """The file with the token that may do everything."""
        return self.home / "service-token"

    @property
    def service_file(self) -> Path:
        """Where the service says that it is up, and where."""
        return self.home / "service.json"

    @property
    def runs_folder(self) -> Path:
        """One folder for each run, with its artifacts."""
        return self.home / "runs"

    @property
    def memory_folder(self) -> Path:
        """One folder for each collection of memory."""
        return self.home / "memory"

    @property
    def prefixes_folder(self) -> Path:
        """Where chat models keep what they have read, for the next process."""
        return self.home / "prefixes"

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
        try:
            return cls(**data)
        except ValidationError as error:
            for fault in error.errors():
                name = "AGENTKIT_" + "__".join(str(part).upper() for part in fault["loc"])
                if not document or name in {variable.upper() for variable in os.environ}:
                    raise UserError(f"{name}: {explain(fault)}") from None
            assert document is not None
            raise InvalidFile(problems_from(error, document, cls)) from None


def _variables(settings: type[Settings]) -> dict[str, Any]:
    """What the environment says: who sets no variable but the home waits for nothing.

    Raises `UserError` for a section that is no JSON.
    """
    home = os.environ.get(HOME)
    said = {name for name, value in os.environ.items() if name.upper().startswith(PREFIX) and value}
    if said <= {HOME}:
        return {"home": home} if home else {}
    from pydantic_settings import EnvSettingsSource, SettingsError

    try:
        source = EnvSettingsSource(
            settings,  # type: ignore[arg-type]  # it reads fields, as every model has them
            env_prefix=PREFIX,
            env_nested_delimiter="__",
            env_ignore_empty=True,
        )
        return source()
    except SettingsError as error:
        section = "a variable AGENTKIT_* for a whole section takes JSON"
        raise UserError(f"{section}: {error}", hint="AGENTKIT_ROLES__CHAT=NAME") from None


def _above(given: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
    """Variables stand above what is given, key by key."""
    merged = dict(given)
    for key, value in variables.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = _above(below, value)
        merged[key] = value
    return merged
