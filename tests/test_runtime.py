"""The composition root: nothing is loaded before it is asked for; what cannot fit is refused."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agentkit import machine
from agentkit.compute import Compute
from agentkit.config import Settings, shipped
from agentkit.engine import LlamaTokenizer
from agentkit.engine.embed import LlamaEmbedder
from agentkit.errors import InvalidFile, NotEnoughMemory, UnknownName, UserError
from agentkit.messages import ChatRequest, Message
from agentkit.models import estimate, read_gguf
from agentkit.ports import ChatModel
from agentkit.remote import RemoteChatModel
from agentkit.runtime import Runtime, new_run_id, offers, root

from .engine.tiny_models import write_adapter, write_model

PATIENCE = 120
"""Seconds for what another thread does; it needs none, unless something is wrong."""

STEP = "steps:\n  - id: page\n    uses: render_template\n    with: {template: hi, data: {}}\n"


def test_looking_around_writes_nothing_to_the_home(isolated_home: Path) -> None:
    with Runtime() as runtime:
        runtime.store.entries()
        runtime.toolbox.names()
        runtime.workflow("meeting-notes")
    assert not (isolated_home / "journal.sqlite").exists()


# -- models ----------------------------------------------------------------------------------------


def free_memory(
    monkeypatch: pytest.MonkeyPatch, ram: int, gpus: tuple[machine.Gpu, ...] = ()
) -> None:
    monkeypatch.setattr(machine, "memory", lambda: (8_000_000_000, ram))
    monkeypatch.setattr(machine, "gpus", lambda: gpus)


@pytest.fixture
def tiny(isolated_home: Path, tmp_path: Path) -> str:
    """The name of a chat model of half a megabyte that is in the store."""
    write_model(tmp_path / "tiny.gguf", "attention")
    with Runtime() as runtime:
        runtime.store.add(tmp_path / "tiny.gguf")
    return "tiny"


def answer(model: ChatModel, **over: object) -> str:
    request = ChatRequest((Message("user", "Hi"),), max_tokens=8, **over)  # type: ignore[arg-type]
    *_, last = model.stream(request)
    assert last.completion is not None
    return last.completion.text


def held(runtime: Runtime) -> list[str]:
    return [holding.key for holding in runtime.pool.holdings()]


def test_a_model_is_loaded_when_it_is_used_and_once(tiny: str) -> None:
    said: list[str] = []
    with Runtime(notice=said.append) as runtime:
        first, second = runtime.chat(tiny), runtime.chat(tiny)
        assert held(runtime) == []
        assert answer(first) == answer(second)
        assert held(runtime) == [tiny]
    assert len(said) == 1


def test_what_it_will_take_is_said_before_it_is_loaded(tiny: str) -> None:
    held_then: list[list[str]] = []
    with Runtime(notice=lambda text: held_then.append([text, *held(runtime)])) as runtime:
        tokens = runtime.chat(tiny).context_tokens
    assert tokens == 8192
    (said,) = held_then
    assert re.match(r"loading tiny: .*, 8k context, needs [\d.]+ MB, .* free$", said[0])
    assert said[1:] == []


def test_settings_reach_the_model(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTKIT_ENGINE", '{"context_tokens": 512, "kv_type": "q8_0"}')
    said: list[str] = []
    with Runtime(notice=said.append) as runtime:
        assert runtime.chat(tiny).context_tokens == 512
    assert "512-token context (q8_0)" in said[0]


def test_without_keep_alive_a_model_goes_at_once(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTKIT_ENGINE__KEEP_ALIVE", "0")
    said: list[str] = []
    with Runtime(notice=said.append) as runtime:
        model = runtime.chat(tiny)
        for times in (1, 2):
            answer(model)
            runtime.pool.sweep()
            assert (held(runtime), len(said)) == ([], times)


def test_a_model_that_comes_back_into_less_memory_has_a_smaller_context(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Runtime() as runtime:
        free_memory(monkeypatch, 10**9)
        model = runtime.chat(tiny)
        assert model.context_tokens == 8192
        model.close()
        small = estimate(read_gguf(runtime.store.resolve(tiny)), 4096, kv_type="q8_0").total
        free_memory(monkeypatch, small)
        assert model.context_tokens == 4096


@pytest.mark.model
def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(
    real_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_memory(monkeypatch, 100_000_000)
    with Runtime() as runtime:
        model = runtime.chat("smollm2-135m")
        with pytest.raises(NotEnoughMemory) as caught:
            answer(model)
        assert held(runtime) == []
    assert "smollm2-135m (135M Q4_1) with a context of 4096 tokens needs" in str(caught.value)
    assert "100 MB are free" in str(caught.value)
    assert "smaller model" in str(caught.value.hint)


def test_a_run_is_refused_before_it_starts_if_its_model_will_not_fit(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("name: w\nsteps:\n  - id: ask\n    prompt: {text: hi, model: tiny}\n")
    free_memory(monkeypatch, 1000)
    with Runtime() as runtime:
        with pytest.raises(NotEnoughMemory, match="tiny"):
            runtime.run(runtime.workflow(str(path)), {})
        assert runtime.journal.count() == 0


def test_on_a_gpu_that_llama_cpp_was_not_built_for_nothing_is_put(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_memory(monkeypatch, 10**9, (machine.Gpu("Big", 80 << 30, 80 << 30),))
    for built, layers in ((False, 0), (True, 5)):
        monkeypatch.setattr(offers, "_uses_gpus", lambda built=built: built)
        with Runtime() as runtime:
            assert runtime.plan(tiny).gpu_layers == layers


def test_a_gpu_whose_memory_cannot_be_told_gets_all_layers(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_memory(monkeypatch, 10**9)
    monkeypatch.setattr(offers, "_uses_gpus", lambda: True)
    with Runtime() as runtime:
        assert runtime.plan(tiny).gpu_layers == 5


# -- adapters --------------------------------------------------------------------------------------


def test_an_adapter_of_the_settings_can_be_asked_for(
    tiny: str, isolated_home: Path, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "style.gguf")
    (isolated_home / "settings.yaml").write_text(
        f"adapters: {{style: {{model: tiny, file: {tmp_path}/style.gguf}}}}\n"
    )
    with Runtime() as runtime:
        model = runtime.chat(tiny)
        assert answer(model) != answer(model, adapters={"style": 1.0})


def test_an_adapter_that_is_not_there_is_named(tiny: str, isolated_home: Path) -> None:
    (isolated_home / "settings.yaml").write_text(
        "adapters: {style: {model: tiny, file: /no/style.gguf}, other: {model: o, file: /no}}\n"
    )
    with Runtime() as runtime, pytest.raises(UserError, match=r"'style' .*/no/style\.gguf") as told:
        answer(runtime.chat(tiny))
    assert "adapters.style.file" in (told.value.hint or "")


def test_a_model_whose_tokens_are_asked_for_meanwhile_does_not_keep_others_from_closing(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "late.gguf", "attention", seed=1)
    closed: list[LlamaTokenizer] = []
    close = LlamaTokenizer.close

    with Runtime() as runtime:
        runtime.store.add(tmp_path / "late.gguf")

        def slowly(tokenizer: LlamaTokenizer) -> None:
            late = threading.Thread(target=lambda: runtime.tokenizer("late").tokens("Hi"))
            late.start()
            late.join(PATIENCE)
            close(tokenizer)
            closed.append(tokenizer)

        first = runtime.tokenizer(tiny)
        with monkeypatch.context() as patched:
            patched.setattr(LlamaTokenizer, "close", slowly)
            runtime.close()
    assert closed == [first]


# -- transcribers and embedders --------------------------------------------------------------------


@pytest.mark.model
def test_a_whisper_that_does_not_fit_is_refused_before_it_is_loaded(
    real_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_memory(monkeypatch, 100_000_000)
    with Runtime() as runtime, pytest.raises(NotEnoughMemory, match="whisper-base needs"):
        runtime.transcriber("whisper-base").transcribe(Path("speech.wav"))


def test_an_embedding_model_is_a_gguf_file_of_the_role(tiny: str, tmp_path: Path) -> None:
    write_model(tmp_path / "e.gguf", "attention", seed=3)
    with Runtime() as runtime:
        runtime.store.add(tmp_path / "e.gguf", "mine", "embed")
        embedder = runtime.embedder("mine")
        assert embedder.embed(["one", "two"]).shape == (2, embedder.dimensions)
        assert held(runtime) == ["mine"]
        with pytest.raises(UserError, match="tiny is a chat model"):
            runtime.embedder(tiny)


@pytest.mark.model
def test_an_embedding_model_may_be_a_folder_of_sentence_transformers(real_models: Path) -> None:
    with Runtime() as runtime:
        embedder = runtime.embedder()
        assert embedder.embed(["one"]).shape == (1, embedder.dimensions)
        assert held(runtime) == [embedder.name]


@pytest.mark.model
def test_whisper_a_chat_model_and_an_embedder_take_turns(
    real_models: Path, minilm_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All three at once: what they say is what they say alone, and no two compute together."""
    monkeypatch.setattr(root, "Compute", Watched)
    speech = Path(__file__).parents[2] / "shared" / "audio" / "wcpp_jfk" / "jfk.wav"
    if not speech.exists():
        pytest.skip("needs the recordings in ../shared/audio, beside the checkout")
    with Runtime() as runtime:
        ears, model = runtime.transcriber("whisper-tiny.en"), runtime.chat("smollm2-135m")
        alone = ears.transcribe(speech).text, answer(model)
        found: list[object] = [None, None, None]

        def listen() -> None:
            found[0] = ears.transcribe(speech).text

        def talk() -> None:
            found[1] = {answer(model) for _ in range(4)}

        def embed() -> None:
            own = LlamaEmbedder(minilm_gguf, "own", threads=2, compute=runtime.compute)
            with closing(own) as embedder:
                found[2] = embedder.embed(["one", "two"] * 200).shape

        threads = [threading.Thread(target=work) for work in (listen, talk, embed)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        compute = runtime.compute
    assert found == [alone[0], {alone[1]}, (400, 384)]
    assert isinstance(compute, Watched)
    assert compute.most == 1
    assert len(compute.threads) >= 3


class Watched(Compute):
    """Counts who computes at the same time, and who ever did."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.threads: set[int] = set()

    @contextmanager
    def turn(self) -> Iterator[None]:
        with super().turn():
            self.now += 1
            self.most = max(self.most, self.now)
            self.threads.add(threading.get_ident())
            yield
            self.now -= 1


# -- remotes ---------------------------------------------------------------------------------------

BOX = "remotes: {box: {url: 'http://gpu-box:8080/v1', model: qwen, token_env: BOX_TOKEN}}\n"


@pytest.fixture
def box(isolated_home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a remote, with its token."""
    isolated_home.mkdir(parents=True, exist_ok=True)
    (isolated_home / "settings.yaml").write_text(BOX)
    monkeypatch.setenv("BOX_TOKEN", "secret")
    return "box"


def test_a_remote_is_a_chat_model(box: str) -> None:
    with Runtime() as runtime:
        model = runtime.chat(box)
        assert isinstance(model, RemoteChatModel)
        assert model.name == "box"
        assert runtime.chat(box) is model


def test_a_remote_may_have_the_role(box: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTKIT_ROLES__CHAT", box)
    with Runtime() as runtime:
        assert isinstance(runtime.chat(), RemoteChatModel)


def test_a_token_that_is_not_there_is_told_before_anything_is_sent(
    box: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BOX_TOKEN")
    with Runtime() as runtime, pytest.raises(UserError, match=r"BOX_TOKEN .*'box'") as told:
        runtime.chat(box)
    assert "export BOX_TOKEN=" in (told.value.hint or "")


def test_workflows_may_name_remotes(box: str, tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    text = "name: w\nsteps:\n  - id: ask\n    prompt: {text: hi, model: box}\n"
    path.write_text(text)
    with Runtime() as runtime:
        assert runtime.workflow(str(path)).models() == {("chat", "box")}
        path.write_text(text.replace("box", "bocks"))
        with pytest.raises(InvalidFile, match="bocks"):
            runtime.workflow(str(path))


# -- workflows and tools ---------------------------------------------------------------------------


def test_a_workflow_beside_me_wins_over_one_that_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "meeting-notes.yaml").write_text("name: mine\n" + STEP)
    monkeypatch.chdir(tmp_path)
    with Runtime() as runtime:
        assert runtime.workflow("meeting-notes").spec.name == "mine"


def test_a_tool_of_the_user_replaces_one_that_ships(isolated_home: Path) -> None:
    folder = isolated_home / "tools"
    folder.mkdir(parents=True)
    (folder / "write_file.py").write_text(
        "from agentkit import tool\n\n\n"
        "@tool\ndef write_file() -> str:\n    'Mine.'\n    return ''\n"
    )
    with Runtime() as runtime:
        assert runtime.toolbox.find("write_file").description == "Mine."


def test_every_shipped_tool_loads_and_says_what_it_is_for() -> None:
    with Runtime() as runtime:
        box = runtime.toolbox
    assert box.bad == []
    assert set(box) == {path.stem for path in shipped("tools").glob("[!_]*.py")}
    for tool in box.values():
        assert tool.description
        for name, argument in tool.parameters.json_schema.get("properties", {}).items():
            assert argument.get("description"), f"{tool.name}: {name} has no help"


def test_every_shipped_workflow_is_valid() -> None:
    with Runtime() as runtime:
        for path in shipped("workflows").glob("*.yaml"):
            assert runtime.workflow(str(path)).spec.name == path.stem


def test_an_unknown_chat_model_in_settings_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "AGENTKIT_ROLES__CHAT", "qwen2.5-coder-1.5")
    with Runtime(Settings.load()) as runtime, pytest.raises(UnknownName) as caught:
        runtime.chat()
    assert 'did you mean "qwen2.5-coder-1.5b"?' in str(caught.value)


def test_run_ids_sort_by_time_and_can_be_typed() -> None:
    ids = {new_run_id() for _ in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch(r"\d{8}-\d{6}-[a-z2-9]{4}", name) for name in ids)
