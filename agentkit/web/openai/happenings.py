"""The events of /v1/responses in their order, and the answer that is the sum of them.

response.created, response.in_progress
for each thing that the model writes (its reasoning, its text, each call):
    output_item.added, content_part.added, the deltas, their `.done`, content_part.done,
    output_item.done
response.completed, or response.incomplete where there was no room for all of it
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agentkit.messages import CallDelta, Completion, Delta, TokenLogprob
from agentkit.web.openai import chat_answer
from agentkit.web.openai.items import ResponseBody
from agentkit.web.openai.streams import named

Event = dict[str, Any]

ITEMS = {"reasoning": "rs", "message": "msg", "function_call": "fc"}
"""What ids of items begin with."""


class Happenings:
    """One answer, while it is written."""

    def __init__(self, asked: ResponseBody, model: str) -> None:
        self._number = 0
        self._thoughts = 0
        self._open: _Item | None = None
        self._response: dict[str, Any] = {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": model,
            "output": [],
            "usage": None,
            **asked.echoed(),
        }

    @property
    def response(self) -> dict[str, Any]:
        """As it is now."""
        return self._response

    @property
    def opening(self) -> str:
        """That it begins."""
        return "".join(map(named, self._announced()))

    def written(self, deltas: Iterable[Delta]) -> str:
        """What is to be told of these."""
        return "".join(named(event) for delta in deltas for event in self.read(delta))

    def failure(self, body: dict[str, Any]) -> str:
        """What went wrong; `error` is what the official client raises."""
        fault = body["error"]
        told = {key: fault[key] for key in ("code", "message", "param")}
        return named(self._event("error", **told, error=fault))

    def read(self, delta: Delta) -> Iterator[Event]:
        """What happens with a piece of the answer."""
        if delta.reasoning:
            self._thoughts += 1
            yield from self._piece("reasoning", delta.reasoning)
        if delta.text or (delta.logprobs and not delta.call):
            yield from self._piece("message", delta.text, delta.logprobs)
        if delta.call is not None:
            yield from self._call(delta.call)
        if delta.completion is not None:
            yield from self._end(delta.completion)

    def _announced(self) -> Iterator[Event]:
        for kind in ("created", "in_progress"):
            yield self._event(f"response.{kind}", response=dict(self._response))

    def _piece(self, kind: str, text: str, tokens: Sequence[TokenLogprob] = ()) -> Iterator[Event]:
        if self._open is None or self._open.kind != kind:
            yield from self._close("completed")
            self._open = _Item(kind, len(self._response["output"]))
            yield from self._begin(self._open)
        item = self._open
        told = chat_answer.logprobs(tokens)["content"]
        item.text += text
        item.logprobs += told
        more = {"logprobs": told} if kind == "message" else {}
        yield self._event(f"response.{item.said}.delta", **item.place, delta=text, **more)

    def _call(self, call: CallDelta) -> Iterator[Event]:
        if self._open is None or self._open.call != call.index:
            yield from self._close("completed")
            self._open = _Item("function_call", len(self._response["output"]), call)
            yield from self._begin(self._open)
        if call.arguments:
            self._open.text += call.arguments
            yield self._event(
                f"response.{self._open.said}.delta", **self._open.place, delta=call.arguments
            )

    def _begin(self, item: _Item) -> Iterator[Event]:
        yield self._event(
            "response.output_item.added",
            output_index=item.index,
            item=item.as_json("in_progress", empty=True),
        )
        if item.kind != "function_call":
            yield self._event("response.content_part.added", **item.place, part=item.part(""))

    def _close(self, status: str) -> Iterator[Event]:
        item, self._open = self._open, None
        if item is None:
            return
        done = f"response.{item.said}.done"
        if item.kind == "function_call":
            yield self._event(done, **item.place, arguments=item.text, name=item.name)
        else:
            more = {"logprobs": item.logprobs} if item.kind == "message" else {}
            yield self._event(done, **item.place, text=item.text, **more)
            yield self._event("response.content_part.done", **item.place, part=item.part(item.text))
        whole = item.as_json(status)
        self._response["output"].append(whole)
        yield self._event("response.output_item.done", output_index=item.index, item=whole)

    def _end(self, completion: Completion) -> Iterator[Event]:
        chat_answer.check_whole(completion)
        if self._open is None and not self._response["output"]:
            yield from self._piece("message", "")
        status = "incomplete" if chat_answer.reason(completion) == "length" else "completed"
        yield from self._close(status)
        if status == "incomplete":
            self._response["incomplete_details"] = {"reason": "max_output_tokens"}
        self._response |= {
            "status": status,
            "completed_at": int(time.time()),
            "usage": _usage(completion, self._thoughts),
        }
        yield self._event(f"response.{status}", response=dict(self._response))

    def _event(self, kind: str, **about: Any) -> Event:
        number, self._number = self._number, self._number + 1
        return {"type": kind, "sequence_number": number, **about}


class _Item:
    """Something that the model writes."""

    def __init__(self, kind: str, index: int, call: CallDelta | None = None) -> None:
        self.kind = kind
        self.index = index
        self.id = f"{ITEMS[kind]}_{uuid.uuid4().hex}"
        self.call = None if call is None else call.index
        self.call_id = call.id if call else ""
        self.name = call.name if call else ""
        self.text = ""
        self.logprobs: list[dict[str, Any]] = []

    @property
    def said(self) -> str:
        """What its text is called in events."""
        names = {"reasoning": "reasoning_text", "message": "output_text"}
        return names.get(self.kind, "function_call_arguments")

    @property
    def place(self) -> dict[str, Any]:
        """Where a piece of it belongs."""
        place = {"item_id": self.id, "output_index": self.index}
        return place if self.kind == "function_call" else place | {"content_index": 0}

    def part(self, text: str) -> dict[str, Any]:
        """Its only part."""
        if self.kind == "reasoning":
            return {"type": "reasoning_text", "text": text}
        logprobs = self.logprobs if text else []
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}

    def as_json(self, status: str, *, empty: bool = False) -> dict[str, Any]:
        """As it stands in `output`."""
        item: dict[str, Any] = {"id": self.id, "type": self.kind, "status": status}
        if self.kind == "function_call":
            about = {"call_id": self.call_id, "name": self.name}
            return item | about | {"arguments": "" if empty else self.text}
        content = [] if empty else [self.part(self.text)]
        if self.kind == "reasoning":
            return item | {"summary": [], "content": content}
        return item | {"role": "assistant", "content": content}


def _usage(completion: Completion, thoughts: int) -> dict[str, Any]:
    """`thoughts`: pieces of reasoning, which are tokens but where a grammar dictated several."""
    cost = completion.usage
    return {
        "input_tokens": cost.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": cost.cached_tokens,
            "cache_write_tokens": cost.prompt_tokens - cost.cached_tokens,
        },
        "output_tokens": cost.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": thoughts},
        "total_tokens": cost.prompt_tokens + cost.completion_tokens,
    }
