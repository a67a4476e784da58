"""`agentkit models bench`: the sums are right, and on a real model they can be true."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import ModelError, UserError
from agentkit.messages import ChatRequest, Completion, Delta, Message, ToolSchema, Usage
from agentkit.runtime import Runtime
from agentkit.runtime.bench import measure


class Machine:
    """A model with a clock: 100 tokens a second of a prompt, 10 of an answer, 3 s to load."""

    name = "mine"

    def __init__(self, *, context: int = 8192, writes: int = 64) -> None:
        self.now = 0.0
        self.writes = writes
        self.prompts: list[int] = []
        self._known: set[str] = set()
        self._context = context

    def clock(self) -> float:
        return self.now

    @property
    def context_tokens(self) -> int:
        self.now += 0 if self.prompts else 3
        return self._context

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        return 7 + len(messages[0].content.split())

    def warm(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> None:
        """Nothing."""

    def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Iterator[Delta]:
        prompt = self.count_tokens(request.messages)
        self.prompts.append(prompt)
        cached = prompt - 1 if request.messages[0].content in self._known else 7
        self._known.add(request.messages[0].content)
        prefill, decode = (prompt - cached) / 100, (self.writes - 1) / 10
        self.now += prefill
        yield Delta("a")
        self.now += decode
        yield Delta(
            completion=Completion(
                "a", "length", Usage(prompt, cached, self.writes, 0, 1, 0.0, prefill, decode), "m"
            )
        )

    def close(self) -> None:
        """Nothing."""


def test_the_sums_are_right() -> None:
    model = Machine()

    speed = measure(model, plan="p", weights_read=None, threads=1, clock=model.clock)

    assert speed.load_seconds == 3
    assert speed.prefill == pytest.approx(100)
    assert speed.decode == pytest.approx(10)
    assert 450 < speed.prompt_tokens <= 512
    assert speed.first_token == pytest.approx((speed.prompt_tokens - 7) / 100)
    assert speed.first_token_known == pytest.approx(0.01)
    assert (speed.share, speed.bandwidth) == (None, None)
    assert len(model.prompts) == 6


def test_what_decoding_uses_is_told_as_a_share_of_what_the_memory_gives() -> None:
    model = Machine()

    speed = measure(model, plan="p", weights_read=1000, threads=1, clock=model.clock)

    assert speed.bandwidth is not None
    assert speed.share == pytest.approx(10 * 1000 / speed.bandwidth)


def test_a_prompt_takes_at_most_half_of_the_context() -> None:
    model = Machine(context=256)

    measure(model, plan="p", weights_read=None, threads=1, clock=model.clock)

    assert max(model.prompts) <= 128


def test_a_model_that_says_nothing_cannot_be_timed() -> None:
    model = Machine(writes=1)
    with pytest.raises(ModelError, match="mine says nothing"):
        measure(model, plan="p", weights_read=None, threads=1, clock=model.clock)


def test_a_remote_is_measured_elsewhere(isolated_home: Path) -> None:
    isolated_home.mkdir(parents=True)
    (isolated_home / "settings.yaml").write_text("remotes: {box: {url: 'http://box'}}\n")
    with Runtime() as runtime, pytest.raises(UserError, match="another machine"):
        runtime.bench("box")


@pytest.mark.model
def test_a_real_model_is_measured(
    real_models: Path,
) -> None:
    command = [sys.executable, "-m", "agentkit", "models", "bench", "smollm2-135m"]
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    speed = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True).stdout)

    assert "135M Q4_1" in plain
    assert "of the limit: answers read" in plain
    assert speed["weights_read"] == 98_362_432
    assert speed["resident"] > speed["weights_read"]
    assert speed["share"] == pytest.approx(
        speed["decode"] * speed["weights_read"] / speed["bandwidth"]
    )
    assert [line.split("  ")[0] for line in plain.splitlines()] == [
        "model", "loads as", "load", "prompts", "answers", "first token", "memory", "bandwidth",
    ]  # fmt: skip
