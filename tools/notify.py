"""Tell a person something: on the desktop, or by what apprise can reach (ntfy, e-mail, webhooks).

Where to is said in settings; addresses there hold tokens, so they may stand in the environment:

    tools:
      options:
        notify:
          targets:
            here: {desktop: true}
            phone: {url: "ntfy://ntfy.lan/alerts"}
            mail: {url_env: NOTIFY_MAIL}      # mailto://user:password@example.org

No address is ever told: not in an error, not to a model.
"""

from __future__ import annotations

import html
import logging
import os
import re
import shutil
import subprocess
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from agentkit import ToolContext, tool
from agentkit.errors import ToolError, ToolRetry, did_you_mean

APP = "agentkit"
DESKTOP_SECONDS = 10

SETTING = "tools.options.notify.targets"


class Target(BaseModel):
    """One way to reach a person: exactly one of the three."""

    model_config = ConfigDict(extra="forbid")

    desktop: bool = False
    url: SecretStr | None = None
    """As apprise writes it: https://appriseit.com/services/"""
    url_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The environment variable that holds the url."""

    @model_validator(mode="after")
    def _is_one(self) -> Target:
        if [self.desktop, self.url is not None, self.url_env is not None].count(True) != 1:
            raise ValueError("needs exactly one of desktop, url and url_env")
        return self


class Options(BaseModel):
    """`tools.options.notify`."""

    model_config = ConfigDict(extra="forbid")

    targets: dict[str, Target] = Field(default_factory=dict)


class _NotSent(Exception):
    """Why one target was not reached, without its address."""


@tool(effects=("network",))
def notify(
    message: str,
    title: Annotated[str, Field(max_length=100)] = "",
    target: Annotated[str, Field(max_length=40)] = "",
    *,
    context: ToolContext,
) -> dict[str, Any]:
    """Send a notification to the person.

    Args:
        message: What to tell.
        title: A few words above it.
        target: Where to; left out, everywhere.
    """
    targets = context.options(Options).targets
    if not targets:
        raise ToolError(
            "there is nowhere to send notifications to",
            hint=f"name a target in settings, such as {SETTING}: {{here: {{desktop: true}}}}",
        )
    if target and target not in targets:
        raise ToolRetry(
            f"no target is named {target!r}.{did_you_mean(target, targets)} there are: "
            + ", ".join(targets)
        )
    sent: list[str] = []
    failed: list[str] = []
    for name in [target] if target else targets:
        context.cancel.check()
        try:
            _send(targets[name], message, title)
            sent.append(name)
        except _NotSent as error:
            failed.append(f"{name!r} ({error})")
    if failed:
        reached = f"; it was sent to {', '.join(map(repr, sent))}" if sent else ""
        raise ToolError(f"not sent to {', '.join(failed)}{reached}", hint=f"settings: {SETTING}")
    return {"sent": sent}


def _send(target: Target, message: str, title: str) -> None:
    if target.desktop:
        _show(message, title)
    elif target.url is not None:
        _post(target.url.get_secret_value(), message, title)
    else:
        assert target.url_env is not None
        url = os.environ.get(target.url_env, "").strip()
        if not url:
            raise _NotSent(f"the environment variable {target.url_env} is not set")
        _post(url, message, title)


def _show(message: str, title: str) -> None:
    program = shutil.which("notify-send")
    if program is None:
        raise _NotSent("notify-send is not installed: it comes with libnotify")
    shown = [title or APP, html.escape(message, quote=False)]  # desktops read it as markup
    try:
        done = subprocess.run(  # noqa: S603 - the desktop's own program, and no shell
            [program, f"--app-name={APP}", "--", *shown],
            capture_output=True,
            timeout=DESKTOP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _NotSent("the desktop does not answer") from None
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise _NotSent(f"notify-send failed: {said[:200] or done.returncode}")


def _post(url: str, message: str, title: str) -> None:
    import apprise  # half a second, with all the services that it knows

    logging.getLogger("apprise").propagate = False  # its notes hold parts of addresses
    asset = apprise.AppriseAsset(
        app_id=APP,
        app_desc=APP,
        app_url="",
        image_url_logo="",  # a picture on somebody else's server
        image_url_mask="",
        storage_mode="memory",
    )
    service = apprise.Apprise(asset=asset)
    if not service.add(url):
        raise _NotSent("its url is none that apprise knows: https://appriseit.com/services/")
    result = service.notify(message, title, body_format=apprise.NotifyFormat.TEXT)
    if not result:
        raise _NotSent(_reason(result))


def _reason(result: Any) -> str:
    """What apprise noted, in our own words."""
    notes = " ".join(str(note.message) for each in result.results for note in each.logs())
    if status := re.search(r"error=(\d{3})\b", notes):
        return f"it answered {status[1]}"
    if "onnection" in notes:
        return "it cannot be reached"
    return "it was not accepted"
