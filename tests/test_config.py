"""Settings: the file, the environment above it, and mistakes in both."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentkit.config import PACKAGE, Settings, home_folder, shipped
from agentkit.errors import InvalidFile, UserError


@pytest.fixture
def settings_file(isolated_home: Path) -> Path:
    isolated_home.mkdir(parents=True, exist_ok=True)
    return isolated_home / "settings.yaml"


def test_without_a_file_there_are_defaults(isolated_home: Path) -> None:
    settings = Settings.load()
    assert settings.home == isolated_home
    assert settings.models_folder == isolated_home / "models"
    assert settings.journal_file == isolated_home / "journal.sqlite"
    assert settings.runs_folder == isolated_home / "runs"
    assert settings.engine.context_tokens is None
    assert settings.roles.chat


def test_reading_settings_makes_nothing(isolated_home: Path) -> None:
    Settings.load()
    assert not isolated_home.exists()


def test_the_file_is_read(settings_file: Path) -> None:
    settings_file.write_text(
        "models_dir: /big/disk\nroles: {chat: mine}\nengine: {context_tokens: 4096, threads: 3}\n"
    )
    settings = Settings.load()
    assert settings.models_folder == Path("/big/disk")
    assert settings.roles.chat == "mine"
    assert settings.roles.transcribe == "whisper-base"
    assert (settings.engine.context_tokens, settings.engine.threads) == (4096, 3)


def test_the_engine_can_be_set_in_all_its_parts(
    settings_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings_file.write_text(
        "engine: {gpu_layers: 20, kv_type: q8_0, slots: 4, queue: 0, keep_alive: -1,"
        " max_models: 2}\n"
        "remotes: {box: {url: 'https://box:8080/v1', token_env: BOX, context_tokens: 4096}}\n"
        "adapters: {style: {model: mine, file: ~/style.gguf}}\n"
    )
    settings = Settings.load()
    engine = settings.engine
    assert (engine.gpu_layers, engine.kv_type, engine.slots) == (20, "q8_0", 4)
    assert (engine.queue, engine.keep_alive, engine.max_models) == (0, -1, 2)
    assert settings.remotes["box"].url == "https://box:8080/v1"
    assert settings.remotes["box"].model is None
    assert settings.adapters["style"].file == tmp_path / "style.gguf"


@pytest.mark.parametrize(("value", "layers"), [("auto", "auto"), ("-1", -1), ("7", 7)])
def test_layers_are_a_number_or_a_word(
    monkeypatch: pytest.MonkeyPatch, value: str, layers: object
) -> None:
    monkeypatch.setenv("AGENTKIT_ENGINE__GPU_LAYERS", value)
    assert Settings.load().engine.gpu_layers == layers


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}\n"])
def test_an_empty_file_is_fine(settings_file: Path, text: str) -> None:
    settings_file.write_text(text)
    assert Settings.load().roles.chat


def test_the_environment_wins_key_by_key(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_file.write_text("roles: {chat: from-file, embed: from-file}\n")
    monkeypatch.setenv("AGENTKIT_ROLES__CHAT", "from-variable")
    monkeypatch.setenv("AGENTKIT_ENGINE__GPU_LAYERS", "7")
    monkeypatch.setenv("AGENTKIT_MODELS_DIR", "/elsewhere")
    settings = Settings.load()
    assert (settings.roles.chat, settings.roles.embed) == ("from-variable", "from-file")
    assert settings.engine.gpu_layers == 7
    assert settings.models_folder == Path("/elsewhere")


@pytest.mark.parametrize(
    ("value", "folder"), [("", ".agentkit"), ("~/kit", "kit"), ("here", "here"), ("/", "/")]
)
def test_the_home_may_be_anywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, folder: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTKIT_HOME", value)
    monkeypatch.setenv("AGENTKIT_MODELS_DIR", value)
    settings = Settings.load()
    assert home_folder() == settings.home == tmp_path / folder
    assert settings.models_folder == (tmp_path / folder if value else settings.home / "models")


def test_a_section_as_a_variable_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTKIT_ROLES", '{"chat": "mine"}')
    assert Settings.load().roles.chat == "mine"
    monkeypatch.setenv("AGENTKIT_ROLES", "mine")
    with pytest.raises(UserError, match=r"takes JSON.*roles"):
        Settings.load()


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("roles: {chta: x}\n", "1:9", "chta"),
        ("\nengine: {threads: 0}\n", "2:19", "threads"),
        ("engine: {context_tokens: many}\n", "1:26", "context_tokens"),
        ("model_dir: /x\n", "1:1", "model_dir"),
        ("engine: {gpu_layers: many}\n", "1:22", 'must be "auto", a number of layers, or -1'),
        ("engine: {gpu_layers: -2}\n", "1:22", "or -1 for all, not -2"),
        ("engine: {gpu_layers: true}\n", "1:22", "not True"),
        ("engine: {kv_type: q4}\n", "1:19", '"q4" is not one of "auto", "f16", "q8_0"'),
        ("engine: {slots: 0}\n", "1:17", "1 or greater"),
        ("engine: {keep_alive: -2}\n", "1:22", "-1 or greater"),
        ("engine: {max_models: 0}\n", "1:22", "1 or greater"),
        ("remotes: {Big Box: {url: 'http://x'}}\n", "1:11", "'Big Box' is no name"),
        ("remotes: {box: {url: 'gpu-box:80'}}\n", "1:22", "an address such as http://"),
        ("remotes: {box: {model: m}}\n", "1:16", '"box" needs the key "url"'),
        ("remotes: {box: {url: 'http://x', token: t}}\n", "1:34", 'did you mean "token_env"?'),
        ("adapters: {a: {model: m}}\n", "1:15", '"a" needs the key "file"'),
        ("- a list\n", "1:1", "mapping"),
    ],
)
def test_a_mistake_in_the_file_has_a_place(
    settings_file: Path, text: str, place: str, says: str
) -> None:
    settings_file.write_text(text)
    with pytest.raises(InvalidFile) as caught:
        Settings.load()
    (problem,) = caught.value.problems
    assert problem.file.endswith("settings.yaml")
    assert f"{problem.line}:{problem.column}" == place
    assert says in problem.render()


def test_all_mistakes_are_told_at_once(settings_file: Path) -> None:
    settings_file.write_text("engine: {threads: 0, context_tokens: 5}\nrole: {}\n")
    with pytest.raises(InvalidFile) as caught:
        Settings.load()
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("with_file", [True, False])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AGENTKIT_ENGINE__THREADS", "0"),
        ("AGENTKIT_ENGINE__CONTEXT_TOKENS", "many"),
        ("AGENTKIT_ENGINE__GPU_LAYERS", "most"),
    ],
)
def test_a_mistake_in_a_variable_names_it(
    settings_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    with_file: bool,
    variable: str,
    value: str,
) -> None:
    if with_file:
        settings_file.write_text("roles: {chat: mine}\n")
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError) as caught:
        Settings.load()
    assert variable in str(caught.value)
    assert value in str(caught.value)


def test_what_ships_is_found() -> None:
    assert (shipped("tools") / "transcribe.py").is_file()
    assert (shipped("workflows") / "meeting-notes.yaml").is_file()
    assert shipped("tools").is_relative_to(PACKAGE.parent)
