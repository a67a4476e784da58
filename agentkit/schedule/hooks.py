"""Whether a webhook is what it says it is: signed, recent, and not seen before.

Two schemes, told apart by their headers:

Standard Webhooks  https://www.standardwebhooks.com: `webhook-id`, `webhook-timestamp` and
                   `webhook-signature`, all three signed together with the body
GitHub             `X-Hub-Signature-256` signs the body alone.  Its delivery id is not signed, so
                   whoever caught a request could send it again under another one: there a body
                   counts once, whatever its id
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from agentkit.errors import HookRefused

TOLERANCE = 300.0
"""Seconds by which the sender's clock may differ from ours."""

SHORTEST = 16
"""Characters of a secret: what is shorter can be guessed."""

_BEHIND = "the signature does not fit the body and the secret"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One that is genuine; `id` is what is not to come again."""

    id: str
    body: bytes


def verified(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> Delivery:
    """A delivery whose signature is right.

    `headers` have names in lower case.  Raises `HookRefused`.
    """
    if "webhook-signature" in headers:
        return _standard(headers, body, secret, now)
    if "x-hub-signature-256" in headers:
        return _github(headers, body, secret)
    raise HookRefused(
        "the request has no signature",
        status=401,
        hint="sign it as Standard Webhooks or GitHub do: docs/schedule.md",
    )


def signed(id: str, body: bytes, secret: str, now: datetime) -> dict[str, str]:
    """The headers of a Standard Webhook: what a sender does."""
    stamp = str(int(now.timestamp()))
    mac = _mac(_key(secret), f"{id}.{stamp}.".encode() + body)
    signature = "v1," + base64.b64encode(mac).decode()
    return {"webhook-id": id, "webhook-timestamp": stamp, "webhook-signature": signature}


def _standard(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> Delivery:
    id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not id or len(id) > 256 or "." in id:
        raise HookRefused("webhook-id is missing, too long or has a dot", status=401)
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) < 13):
        raise HookRefused("webhook-timestamp is missing, or no number of seconds", status=401)
    wanted = _mac(_key(secret), f"{id}.{stamp}.".encode() + body)
    given = [_decoded(one) for one in headers["webhook-signature"].split()[:10]]
    if sum(hmac.compare_digest(wanted, one) for one in given) == 0:  # whichever it is takes as long
        raise HookRefused(_BEHIND, status=401)
    age = (now - datetime.fromtimestamp(int(stamp), UTC)).total_seconds()
    if abs(age) > TOLERANCE:
        said = f"webhook-timestamp is {abs(age):.0f} seconds {'old' if age > 0 else 'ahead'}"
        raise HookRefused(said, status=401, hint="set the clocks, or send it anew")
    return Delivery(f"delivery {id}", body)


def _github(headers: Mapping[str, str], body: bytes, secret: str) -> Delivery:
    wanted = _mac(secret.encode(), body)
    name, _, given = headers["x-hub-signature-256"].partition("=")
    try:
        fits = hmac.compare_digest(wanted, bytes.fromhex(given))
    except ValueError:
        fits = False
    if name != "sha256" or not fits:
        raise HookRefused(_BEHIND, status=401)
    return Delivery(f"delivery sha256={wanted.hex()}", body)


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def _key(secret: str) -> bytes:
    """The bytes of a secret: in base64 where it begins with `whsec_`, as its scheme says."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return secret.encode()


def _decoded(signature: str) -> bytes:
    """The bytes of one `v1,…`; nothing for what is none."""
    version, _, text = signature.partition(",")
    if version != "v1":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
