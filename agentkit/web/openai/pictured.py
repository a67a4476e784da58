"""Pictures in a request.  They come with it, as `data:` URLs.

An address would have to be fetched by this server, from where it stands: within the network, past
what keeps others out.  No client gets to say what is fetched there.
"""

from __future__ import annotations

import base64
import binascii
from typing import Literal

from agentkit.messages import Image
from agentkit.pictures import KNOWN, MOST_BYTES, picture
from agentkit.web.openai.body import Body
from agentkit.web.openai.refusals import Refused

Detail = Literal["auto"]
"""How closely it is looked at is for the server to say that has the model."""


class ImageUrl(Body):
    """Where a picture is."""

    url: str
    detail: Detail = "auto"


def pictured(given: str | ImageUrl, at: str) -> Image:
    """The picture of a part.  Raises `Refused` for what is none, or is somewhere else."""
    url, at = (given, f"{at}.image_url") if isinstance(given, str) else (
        given.url, f"{at}.image_url.url")  # fmt: skip
    head, comma, written = url.partition(",")
    if not (head[:5].lower() == "data:" and head.lower().endswith(";base64") and comma):
        hint = "send it itself: data:image/png;base64,..."
        raise Refused(at, "no address is fetched for a client", hint=hint)
    try:
        data = base64.b64decode(written, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(at, f"the picture is not base64: {error}") from None
    found = picture(data) if len(data) <= MOST_BYTES else None
    if found is None:
        raise Refused(at, f"it is no picture that models see: {KNOWN} are, of 20 MB at most")
    return found
