"""Servers that are not there, busy, slow, broken or hostile; and secrets that stay secret."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import (
    AgentkitError,
    MachineError,
    ModelBusy,
    ModelError,
    PromptTooLong,
    UnknownName,
    UserError,
)
from agentkit.messages import ChatRequest, Completion, Delta, Message
from agentkit.remote import RemoteChatModel, server

from .player import (
    CHAT,
    FINE,
    HOLD,
    MODELS,
    RECORDED,
    STREAM,
    Make,
    Player,
    cut_off,
    reply,
    stream,
    text,
)

TOKEN = "sk-very-secret-7"
HELLO = (Message("user", "Say hello."),)
QUESTION = ChatRequest(HELLO)


def ask(model: RemoteChatModel, request: ChatRequest = QUESTION) -> Completion:
    *_, last = model.stream(request)
    assert last.completion is not None
    return last.completion


def error(body: str, **details: Any) -> dict[str, Any]:
    return {"error": {"message": body, **details}}


# -- no server -----------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(MachineError, match=f"no answer from {url}/v1: .*refused") as caught:
            ask(RemoteChatModel(url, name="big"))
    assert caught.value.hint
    assert "is the server running" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("localhost:8080", "not the address of a server"),
        ("ftp://host/v1", "not the address of a server"),
        ("http://", "not the address of a server"),
        ("http://host/v1?key=1", "not the address of a server"),
        ("http://host:port/", "not valid"),
        ("http://me:pass@host/v1", "has a password in it"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused(url: str, fault: str) -> None:
    with pytest.raises(UserError, match=fault) as caught:
        RemoteChatModel(url, name="big")
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
def test_the_address_may_end_in_v1_or_not(player: Player, path: str) -> None:
    player.on(CHAT, FINE)
    model = RemoteChatModel(player.url + path, name="big", context_tokens=4096)
    assert ask(model).text == "Good day."
    assert [asked.path for asked in player.asked] == [MODELS, CHAT]


def test_nothing_is_asked_before_it_is_needed(make: Make, player: Player) -> None:
    model = make()
    assert model.context_tokens == 4096
    assert player.asked == []


# -- what it says no with ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (reply(error("temperature is wrong"), 400), UserError, "refused .*: temperature is wrong"),
        (reply({"error": "bad model"}, 400), UserError, "bad model"),
        (reply({"detail": [{"msg": "n"}]}, 422), UserError, '"msg": "n"'),
        (reply(b"<html>plain  words</html>", 400), UserError, "<html>plain words</html>"),
        (reply(b"", 400), UserError, "refused the request$"),
        (reply(error("no key"), 401), UserError, "does not let us in: no key"),
        (reply(error("no"), 403), UserError, "does not let us in: no"),
        (reply(b"", 404), UserError, "not the address of an OpenAI-compatible server"),
        (reply(error("boom"), 500), ModelError, r"failed \(500\): boom"),
        (reply(b"", 302, Location="http://else/x?t=1"), UserError, "elsewhere: http://else/x$"),
        (reply({"choices": []}), ModelError, "does not stream its answers"),
        (reply(b"hi", 200, Content_Type="text/html"), ModelError, "it sent text/html"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_is_told_in_the_server_s_own_words(
    make: Make, player: Player, answer: bytes, kind: type[AgentkitError], said: str
) -> None:
    player.on(CHAT, answer)
    with pytest.raises(kind, match=said):
        ask(make())
    assert len(player.bodies()) == 1


def test_an_unknown_model_is_told_with_those_that_there_are(make: Make, player: Player) -> None:
    player.on(MODELS, reply({"data": [{"id": "qwen3:8b"}, {"id": "gemma3:4b"}]}))
    player.on(CHAT, reply(error('model "qwen3" not found'), 404))
    with pytest.raises(UnknownName, match='did you mean "qwen3:8b"') as caught:
        ask(make(model="qwen3"))
    assert caught.value.hint
    assert "qwen3:8b, gemma3:4b" in caught.value.hint


def test_a_llama_server_would_answer_with_another_model(make: Make, player: Player) -> None:
    entry = {"id": "qwen3", "aliases": ["chat"], "owned_by": "llamacpp"}
    player.on(MODELS, reply({"data": [entry]}))
    player.on(CHAT, FINE)
    assert ask(make(model="chat")).text == "Good day."
    with pytest.raises(UnknownName, match="'gemma3'"):
        ask(make(model="gemma3"))


def test_the_only_model_need_not_be_named(make: Make, player: Player) -> None:
    player.on(CHAT, FINE)
    ask(make())
    assert player.bodies()[0]["model"] == "m"
    player.on(MODELS, reply({"data": [{"id": "a"}, {"id": "b"}]}))
    with pytest.raises(UserError, match="it has a, b"):
        ask(make())


def test_a_server_without_a_list_of_models_is_believed(make: Make, player: Player) -> None:
    player.on(MODELS, reply(b"", 404))
    player.on(CHAT, FINE)
    assert ask(make(model="any")).text == "Good day."


@pytest.mark.parametrize(
    ("body", "prompt", "context"),
    [
        ((RECORDED / "llama-server-too-long.json").read_bytes(), 5031, 4096),
        (
            error(
                "This model's maximum context length is 2048 tokens. However, you requested 2100 "
                "tokens (2000 in the messages, 100 in the completion).",
                code="context_length_exceeded",
            ),
            2000,
            2048,
        ),
        (
            error(
                "This model's maximum context length is 2048 tokens. However, your request has "
                "3000 input tokens. Please reduce the length of the input messages."
            ),
            3000,
            2048,
        ),
        (
            error(
                "The decoder prompt (length 5000) is longer than the maximum model length of 2048."
            ),
            5000,
            2048,
        ),
    ],
)
def test_a_prompt_that_is_too_long_says_by_how_much(
    make: Make, player: Player, body: Any, prompt: int, context: int
) -> None:
    player.on(CHAT, reply(body, 400))
    with pytest.raises(PromptTooLong) as caught:
        ask(make(), ChatRequest(HELLO, max_tokens=100))
    assert (caught.value.prompt_tokens, caught.value.context_tokens) == (prompt, context)
    assert caught.value.excess == prompt + 100 - context


def test_an_error_in_the_stream_is_an_error(make: Make, player: Player) -> None:
    player.on(CHAT, stream(error("the GPU is gone", code=500)))
    with pytest.raises(ModelError, match="the GPU is gone"):
        ask(make())
    player.on(CHAT, stream(text("Go"), error("context is full", code=400)))
    with pytest.raises(UserError, match="context is full"):
        ask(make())


# -- busy, and other reasons to try again --------------------------------------------------------


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(make: Make, player: Player, status: int) -> None:
    player.on(CHAT, reply(error("Loading model"), status), reply(b"", status), FINE)
    told = ask(make())
    assert told.text == "Good day."
    assert told.usage.queued_seconds > 0
    assert len(player.bodies()) == 3


def test_a_server_that_stays_busy_is_given_up(make: Make, player: Player) -> None:
    player.on(CHAT, reply(error("Loading model"), 503))
    with pytest.raises(ModelBusy, match=r"no room now: it answered 503 \(Loading model\)"):
        ask(make())
    assert len(player.bodies()) == 3


@pytest.mark.parametrize(
    "later",
    ["3600", format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)],
    ids=["seconds", "date"],
)
def test_nobody_waits_for_an_hour(make: Make, player: Player, later: str) -> None:
    player.on(CHAT, reply(b"", 429, Retry_After=later))
    with pytest.raises(ModelBusy):
        ask(make())
    assert len(player.bodies()) == 1


@pytest.mark.parametrize("later", ["0", "0.001", "soon", "-5", "nan"])
def test_the_server_may_say_when_to_come_back(make: Make, player: Player, later: str) -> None:
    player.on(CHAT, reply(b"", 503, Retry_After=later), FINE)
    assert ask(make()).text == "Good day."


def test_the_list_of_models_is_waited_for_as_well(make: Make, player: Player) -> None:
    player.on(MODELS, reply(b"", 503), reply({"data": [{"id": "m"}]}))
    player.on(CHAT, FINE)
    assert ask(make()).text == "Good day."


@pytest.mark.parametrize(
    "broken",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Ty", cut_off(), cut_off(text(None, role="assistant"))],
    ids=["nothing", "half-a-head", "no-event", "no-text"],
)
def test_a_connection_that_breaks_before_the_first_word_is_made_again(
    make: Make, player: Player, broken: bytes
) -> None:
    player.on(CHAT, broken, FINE)
    assert ask(make()).text == "Good day."


def test_a_server_that_always_hangs_up_is_given_up(make: Make, player: Player) -> None:
    player.on(CHAT, b"")
    with pytest.raises(MachineError, match="broke off"):
        ask(make())
    assert len(player.bodies()) == 3


@pytest.mark.parametrize(
    "broken",
    [cut_off(text("Good"), text(" d")), stream(text("Good"), text(" d"), end="")],
    ids=["cut", "ended"],
)
def test_an_answer_that_breaks_off_is_never_asked_for_again(
    make: Make, player: Player, broken: bytes
) -> None:
    player.on(CHAT, broken, FINE)
    told: list[str] = []
    with pytest.raises(ModelError, match="broke off after 6 characters"):
        told.extend(delta.text for delta in make().stream(QUESTION))
    assert "".join(told) == "Good d"
    assert len(player.bodies()) == 1


def test_a_connection_that_breaks_after_the_end_breaks_nothing(make: Make, player: Player) -> None:
    player.on(CHAT, cut_off(text("Good day."), text(end="stop")))
    assert ask(make()).text == "Good day."


# -- slow, and stopped ---------------------------------------------------------------------------


def test_a_silent_server_is_given_up(make: Make, player: Player) -> None:
    player.on(CHAT, HOLD)
    with pytest.raises(ModelError, match=r"sent nothing for 0.05 s") as caught:
        ask(make(read_seconds=0.05))
    assert caught.value.hint
    assert len(player.bodies()) == 1


SILENCES = {
    "before the head": HOLD,
    "after the head": STREAM + b"\r\n" + HOLD,
    "within an answer": stream(text("Good"), end="") + HOLD,
    "within an event": stream(text("Good"), end='data: {"cho') + HOLD,
}


@pytest.mark.parametrize("silence", SILENCES.values(), ids=SILENCES.keys())
@pytest.mark.parametrize("way", ["cancel", "close"])
def test_a_request_is_stopped_while_the_server_is_silent(
    make: Make, player: Player, silence: bytes, way: str
) -> None:
    """And the server notices: its connection is closed."""
    player.on(CHAT, silence)
    token, model = CancelToken(), make()
    stop: Callable[[], None] = token.cancel if way == "cancel" else model.close

    def wait_and_stop() -> None:
        player.holding.wait(60)
        stop()

    threading.Thread(target=wait_and_stop).start()
    *pieces, last = model.stream(QUESTION, token)
    assert last.completion is not None
    assert last.completion.finish_reason == "cancelled"
    assert last.completion.text == "".join(piece.text for piece in pieces)
    assert player.hung_up.wait(60)


@pytest.mark.parametrize("silence", SILENCES.values(), ids=SILENCES.keys())
def test_a_deadline_ends_the_wait(make: Make, player: Player, silence: bytes) -> None:
    player.on(CHAT, silence)
    told = ask(make(), ChatRequest(HELLO, timeout=0.1))
    assert told.finish_reason == "deadline"
    assert player.hung_up.wait(60)


def test_a_request_is_stopped_while_it_waits_to_try_again(make: Make, player: Player) -> None:
    player.on(CHAT, reply(b"", 503, Retry_After="25"))
    assert ask(make(), ChatRequest(HELLO, timeout=0.1)).finish_reason == "deadline"


def test_a_request_is_stopped_while_it_asks_for_the_models(make: Make, player: Player) -> None:
    player.on(MODELS, HOLD)
    assert ask(make(), ChatRequest(HELLO, timeout=0.1)).finish_reason == "deadline"
    assert player.bodies() == []
    assert player.hung_up.wait(60)


def test_an_abandoned_answer_hangs_up(make: Make, player: Player) -> None:
    player.on(CHAT, SILENCES["within an answer"])
    model = make()
    left = model.stream(QUESTION)
    assert next(left).text == "Good"
    del left
    assert player.hung_up.wait(60)


def test_a_reader_that_dawdles_past_the_deadline_gets_what_there_is(
    make: Make, player: Player
) -> None:
    player.on(CHAT, stream(text("Good"), text(" day."), text(end="stop"), end="") + HOLD)
    pieces = make().stream(ChatRequest(HELLO, timeout=0.3))
    assert next(pieces).text == "Good"
    assert player.hung_up.wait(60)
    *_, last = pieces
    assert last.completion is not None
    assert (last.completion.text, last.completion.finish_reason) == ("Good", "deadline")


def test_nothing_runs_on_when_all_is_said(make: Make, player: Player) -> None:
    player.on(CHAT, FINE)
    model = make()
    for _ in range(5):
        ask(model)
    end = time.monotonic() + 60
    while any(thread.name == "remote-stop" for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)


# -- hostile -------------------------------------------------------------------------------------


def test_a_line_without_an_end_is_not_read_for_ever(make: Make, player: Player) -> None:
    player.on(CHAT, stream(b"data: " + b"x" * (6 << 20)))
    with pytest.raises(ModelError, match="an event of more than"):
        ask(make())


def test_an_answer_without_an_end_is_not_read_for_ever(
    make: Make, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_STREAM_BYTES", 10_000)
    player.on(CHAT, stream(*[b": ping\n\n"] * 5_000))
    with pytest.raises(ModelError, match="does not end its answer"):
        ask(make())


def test_a_huge_error_is_not_read_to_its_end(
    make: Make, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_JSON_BYTES", 10_000)
    player.on(CHAT, reply(b"x" * 100_000, 400))
    with pytest.raises(ModelError, match="more than 10000 bytes"):
        ask(make())


def test_the_words_of_a_server_are_cleaned(make: Make, player: Player) -> None:
    player.on(CHAT, reply(error("\x1b[31mred\n\nand\tlong " + "x" * 1000), 400))
    with pytest.raises(UserError, match=r"red and long x+…$") as caught:
        ask(make())
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("listed", [b"[]", b"{", b'{"data": 7}', b'{"data": [7, {"id": null}]}'])
def test_a_list_of_models_that_is_none(make: Make, player: Player, listed: bytes) -> None:
    player.on(MODELS, reply(listed))
    with pytest.raises((ModelError, UserError)):
        _ = make(context_tokens=None).context_tokens


# -- how much fits -------------------------------------------------------------------------------


def test_what_is_not_said_has_to_be_set(make: Make, player: Player) -> None:
    with pytest.raises(UserError, match="does not say how much context") as caught:
        _ = make(context_tokens=None).context_tokens
    assert caught.value.hint
    assert "context_tokens" in caught.value.hint
    player.on(MODELS, reply({"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 2048}]}))
    assert make(context_tokens=None).context_tokens == 2048


def test_vllm_counts_the_prompt_only_when_it_might_not_fit(make: Make, player: Player) -> None:
    player.on(MODELS, reply({"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 2048}]}))
    player.on("/tokenize", reply({"count": 2000, "max_model_len": 2048}))
    player.on(CHAT, FINE)
    model = make(context_tokens=None)
    ask(model, ChatRequest(HELLO, max_tokens=10))
    assert player.bodies("/tokenize") == []
    ask(model, ChatRequest(HELLO, max_tokens=48))
    with pytest.raises(PromptTooLong, match="1000 tokens too long"):
        model.stream(ChatRequest(HELLO, max_tokens=1048))
    assert player.bodies("/tokenize")[0]["messages"] == [{"role": "user", "content": "Say hello."}]


def test_without_a_tokenizer_the_count_is_an_estimate_on_the_long_side(make: Make) -> None:
    model = make()
    short = model.count_tokens(HELLO)
    assert short > 3
    words = "word " * 1000
    assert 1000 < model.count_tokens([Message("user", words)]) < 3000
    assert model.count_tokens([Message("user", "日本語" * 100)]) >= 300


def test_warming_is_one_token_where_prompts_are_kept_and_nothing_elsewhere(
    make: Make, player: Player
) -> None:
    player.on(CHAT, FINE)
    make().warm(HELLO)
    assert player.bodies() == []
    make(flavour="vllm").warm(HELLO)
    (sent,) = player.bodies()
    assert sent["max_tokens"] == 1
    player.on(CHAT, reply(b"", 400))
    make(flavour="ollama").warm(HELLO)


# -- secrets -------------------------------------------------------------------------------------


def test_the_token_goes_to_the_server_and_nowhere_else(
    make: Make, player: Player, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    player.on(CHAT, FINE, reply(error(f"the key {TOKEN} is wrong"), 401))
    model = make(token=f" {TOKEN}\n")
    ask(model)
    assert {asked.headers["authorization"] for asked in player.asked} == {f"Bearer {TOKEN}"}
    with pytest.raises(UserError, match="the key … is wrong") as caught:
        ask(model)
    assert TOKEN not in f"{caught.value} {caught.value.hint} {model!r} {caplog.text}"


def test_without_a_token_none_is_sent(make: Make, player: Player) -> None:
    player.on(CHAT, FINE)
    ask(make())
    assert "authorization" not in player.asked[-1].headers


@pytest.mark.parametrize("token", ["two\nlines", "schlüssel", "nul\0"])
def test_a_token_that_cannot_be_one_is_refused_without_being_told(token: str) -> None:
    with pytest.raises(UserError, match="the token for") as caught:
        RemoteChatModel("http://host/v1", name="big", token=token)
    assert token not in str(caught.value)


def test_a_proxy_is_not_asked_for_this_machine(
    make: Make, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    player.on(CHAT, FINE)
    assert ask(make()).text == "Good day."
    with pytest.raises(MachineError, match=r"no answer from http://far.invalid/v1"):
        ask(RemoteChatModel("http://far.invalid", name="far"))


def test_many_threads_may_ask_at_once(make: Make, player: Player) -> None:
    player.on(CHAT, FINE)
    model = make()
    told: list[str] = []
    threads = [threading.Thread(target=lambda: told.append(ask(model).text)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["Good day."] * 20
    assert [asked.path for asked in player.asked].count(MODELS) == 1


def test_deltas_come_as_they_arrive(make: Make, player: Player) -> None:
    """The second piece is only sent when the first was read: here, never."""
    player.on(CHAT, SILENCES["within an answer"])
    pieces: Iterator[Delta] = make().stream(QUESTION)
    assert next(pieces).text == "Good"
