"""A webhook, from a request to what it is allowed to start."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from agentkit.config import Settings
from agentkit.errors import HookRefused, UserError
from agentkit.runtime.secrets import resolved
from agentkit.schedule import hooks

if TYPE_CHECKING:
    from agentkit.workflow.spec import Trigger

log = logging.getLogger(__name__)

LARGEST = 1_000_000
"""Bytes."""


def genuine(
    triggers: Iterable[Trigger],
    headers: Mapping[str, str],
    body: bytes,
    settings: Settings,
    now: datetime,
) -> tuple[Trigger, hooks.Delivery]:
    """The trigger whose secret has signed a request.  Raises `HookRefused`."""
    lowered = {key.lower(): value for key, value in headers.items()}
    refused = HookRefused("there is no such webhook", status=404)
    for trigger in triggers:
        if trigger.webhook is None:
            continue
        secret = _secret(trigger.webhook.secret, settings)
        try:
            return trigger, hooks.verified(lowered, body, secret, now)
        except HookRefused as error:
            refused = error
    raise refused


def data(body: bytes) -> Any:
    """JSON as data, anything else as text."""
    text = body.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _secret(name: str, settings: Settings) -> str:
    """What is wrong with it is for the log: the sender may be anybody."""
    try:
        secret = resolved([name], settings)[name]
    except UserError as error:
        log.error("a webhook is refused: %s; %s", error, error.hint)
        raise HookRefused("the webhook has no secret here", status=503) from None
    if len(secret) < hooks.SHORTEST:
        said = "a webhook is refused: the secret %s has fewer than %d characters"
        log.error(said, name, hooks.SHORTEST)
        raise HookRefused("the webhook has no good secret here", status=503)
    return secret
