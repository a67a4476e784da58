"""Clients that read along, as many at a time as are wanted."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

from bench.servers import Side

TOPICS = ("a lighthouse", "bread", "a bicycle", "the first snow", "an old violin", "a night market",
          "a glass bottle", "the moon", "a bridge", "a postwoman")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sum:
    """What came of some questions."""

    tokens: int
    seconds: float
    cpu: float

    @property
    def speed(self) -> float:
        """Tokens a second, of all clients together."""
        return self.tokens / self.seconds

    @property
    def cost(self) -> float:
        """Seconds of a core for a token: what a busy machine does not change."""
        return self.cpu / self.tokens


def question(side: Side, number: int, tokens: int) -> dict[str, Any]:
    """One that calls for a long answer; no two begin alike."""
    topic = TOPICS[number % len(TOPICS)]
    return {
        "model": side.model,
        "messages": [{"role": "user", "content": f"{number}: tell a long story about {topic}."}],
        "temperature": 0,
        "max_tokens": tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def client(side: Side) -> httpx.AsyncClient:
    """With as many connections as there are readers, and new ones: some servers drop old ones."""
    return httpx.AsyncClient(
        base_url=side.url.removesuffix("/v1"),
        headers={"Authorization": f"Bearer {side.token}"},
        timeout=600,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        trust_env=False,
    )


async def rounds(side: Side, clients: int, each: int, tokens: int) -> Sum:
    """Each client asks so many questions, one after the other."""
    async with client(side) as http:
        await ask(http, question(side, 999, 4))  # loads the model
        began, before = time.perf_counter(), side.cpu()

        async def one(number: int) -> int:
            asked = [question(side, number * each + n, tokens) for n in range(each)]
            return sum([await ask(http, body) for body in asked])

        written = sum(await asyncio.gather(*map(one, range(clients))))
        return Sum(written, time.perf_counter() - began, side.cpu() - before)


async def ask(http: httpx.AsyncClient, body: dict[str, Any]) -> int:
    """Read an answer; how many tokens it had."""
    usage = None
    async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if '"usage":{' in line:
                usage = json.loads(line.removeprefix("data: "))["usage"]
    if usage is None:
        raise RuntimeError("the answer did not say what it cost")
    return int(usage["completion_tokens"])
