"""Webhooks: signed as the two schemes say, recent, and delivered once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from pathlib import Path

import pytest

from agentkit.errors import HookRefused
from agentkit.runtime import Scheduling
from agentkit.schedule.hooks import TOLERANCE, signed, verified

from .conftest import NOON, House

SECRET = "a secret of some length"
BODY = json.dumps({"repository": "agentkit", "text": "${{ inputs.x }}"}).encode()


def github(body: bytes = BODY, secret: str = SECRET, delivery: str = "1") -> dict[str, str]:
    mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={mac}", "X-GitHub-Delivery": delivery}


def refusal(scheduling: Scheduling, headers: dict[str, str], body: bytes = BODY) -> int:
    with pytest.raises(HookRefused) as caught:
        scheduling.hook("deploy", headers, body)
    return caught.value.status


@pytest.fixture
def hooked(house: House, monkeypatch: pytest.MonkeyPatch, isolated_home: Path) -> Scheduling:
    isolated_home.mkdir()
    (isolated_home / "settings.yaml").write_text("secrets: {HOOK: {env: HOOK}}")
    monkeypatch.setenv("HOOK", SECRET)
    given = 'with: {body: "${{ trigger.body }}", id: "${{ trigger.id }}"}'
    inputs = "inputs: {body: {type: object}, id: {}}"
    house.write("deploy", f"- webhook: HOOK\n  {given}", inputs)
    scheduling = house.scheduling()
    house.look(scheduling)
    return scheduling


def test_a_webhook_starts_its_workflow_with_its_body(house: House, hooked: Scheduling) -> None:
    run = hooked.hook("deploy", signed("msg_1", BODY, SECRET, NOON), BODY)
    assert house.look(hooked) == ["deploy"]
    assert house.started == [("deploy", {"body": json.loads(BODY), "id": "msg_1"})]
    (fire,) = house.fires("deploy")
    assert (fire.run, fire.outcome) == (run, "succeeded")


def test_github_signs_it_in_its_way(house: House, hooked: Scheduling) -> None:
    hooked.hook("deploy", github(), BODY)
    assert house.look(hooked) == ["deploy"]


def test_a_delivery_counts_once(house: House, hooked: Scheduling) -> None:
    """Also where the id is not signed and another one is put in its place; also after a restart."""
    headers = signed("msg_1", BODY, SECRET, NOON)
    hooked.hook("deploy", headers, BODY)
    hooked.hook("deploy", github(), BODY)
    restarted = house.scheduling()
    house.look(restarted)
    assert [refusal(one, headers) for one in (hooked, restarted)] == [409, 409]
    assert [refusal(one, github(delivery="2")) for one in (hooked, restarted)] == [409, 409]
    assert len(house.started) == 2


def test_what_was_forgotten_does_not_come_again(house: House, hooked: Scheduling) -> None:
    hooked.hook("deploy", github(), BODY)
    headers = signed("msg_1", BODY, SECRET, NOON)
    hooked.hook("deploy", headers, BODY)
    house.look(hooked)
    hooked._fires.forget(NOON + timedelta(days=60))
    house.clock.advance(days=60)
    assert refusal(hooked, github()) == 409
    assert refusal(hooked, headers) == 401  # it is old


@pytest.mark.parametrize(
    "headers",
    [
        {},
        github(secret="another secret"),
        github(b"another body"),
        {"X-Hub-Signature-256": "sha1=" + "0" * 40},
        {"X-Hub-Signature-256": "sha256=no hex"},
        signed("msg_1", BODY, "another secret", NOON),
        signed("msg_1", b"another body", SECRET, NOON),
        {**signed("msg_1", BODY, SECRET, NOON), "webhook-id": "msg_2"},
        {**signed("msg_1", BODY, SECRET, NOON), "webhook-timestamp": "1"},
        {**signed("msg_1", BODY, SECRET, NOON), "webhook-timestamp": "²"},
        {**signed("msg_1", BODY, SECRET, NOON), "webhook-signature": "v1,ü"},
        {**signed("msg_1", BODY, SECRET, NOON), "webhook-signature": "v2,AAAA"},
        {**signed("msg_1", BODY, SECRET, NOON), "webhook-id": ""},
        signed("a.b", BODY, SECRET, NOON),
        signed("msg_1", BODY, SECRET, NOON - timedelta(seconds=TOLERANCE + 1)),
        signed("msg_1", BODY, SECRET, NOON + timedelta(seconds=TOLERANCE + 1)),
    ],
)
def test_what_is_not_genuine_is_refused(
    hooked: Scheduling, house: House, headers: dict[str, str]
) -> None:
    assert refusal(hooked, headers) == 401
    assert house.look(hooked) == []


def test_secrets_and_signatures_as_standard_webhooks_have_them() -> None:
    """The example of its specification, and a second signature while a secret is replaced."""
    secret = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
    headers = signed("msg_1", BODY, secret, NOON)
    content = f"msg_1.{int(NOON.timestamp())}.".encode() + BODY
    mac = hmac.new(b"0123456789abcdef01234567", content, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
    headers["webhook-signature"] = "v1,AAAA " + headers["webhook-signature"]
    assert verified(headers, BODY, secret, NOON).id == "delivery msg_1"


def test_other_refusals(hooked: Scheduling, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.write("other", "- {every: 1h}")
    house.edited(hooked)
    now = house.clock.now()
    for name in ("none", "other"):
        with pytest.raises(HookRefused) as caught:
            hooked.hook(name, github(), BODY)
        assert caught.value.status == 404
    large = b"x" * 1_000_001
    assert refusal(hooked, signed("msg_2", large, SECRET, now), large) == 413
    house.timetable(hooked).pause("deploy")
    assert refusal(hooked, github()) == 503
    house.timetable(hooked).resume("deploy")
    monkeypatch.setenv("HOOK", "short")
    assert refusal(hooked, github(secret="short")) == 503
    monkeypatch.delenv("HOOK")
    assert refusal(hooked, github()) == 503


def test_a_body_that_does_not_fit_the_inputs_is_on_record(house: House, hooked: Scheduling) -> None:
    hooked.hook("deploy", signed("msg_1", b"text", SECRET, NOON), b"text")
    assert house.look(hooked) == []
    (fire,) = house.fires("deploy")
    assert fire.status == "refused"
    assert "must be" in fire.reason
