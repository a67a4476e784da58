"""A prompt with pictures: sent to a server that sees, and refused for a model that reads only."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentkit.engine import LlamaChatModel
from agentkit.errors import StepFailed, UserError
from agentkit.messages import ChatRequest, Image, Message
from agentkit.remote import RemoteChatModel
from agentkit.runtime import Runtime
from tests.engine.tiny_models import write_model
from tests.remote.player import CHAT, FINE, Player

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)

FLOW = """\
name: see
inputs: {photo: {type: file}}
steps:
  - {id: see, prompt: {text: What is this?, model: eye, images: ["${{ inputs.photo }}"]}}
outputs: {said: "${{ steps.see.outputs.text }}"}
"""


@pytest.fixture
def player() -> Iterator[Player]:
    with Player() as playing:
        threading.Thread(target=playing.serve_forever, args=(0.02,), daemon=True).start()
        playing.on(CHAT, FINE)
        yield playing
        playing.shutdown()


def see(player: Player, folder: Path, content: bytes, images: str = "") -> object:
    home = Path(os.environ["AGENTKIT_HOME"])
    home.mkdir(exist_ok=True)
    about = f"remotes: {{eye: {{url: '{player.url}', context_tokens: 4096}}}}\n"
    (home / "settings.yaml").write_text(about)
    text = FLOW.replace('"${{ inputs.photo }}"', images) if images else FLOW
    (folder / "see.yaml").write_text(text)
    (folder / "photo.png").write_bytes(content)
    with Runtime() as runtime:
        flow = runtime.workflow(str(folder / "see.yaml"))
        return runtime.run(flow, {"photo": str(folder / "photo.png")})


def test_a_picture_is_sent_with_the_question(player: Player, tmp_path: Path) -> None:
    assert see(player, tmp_path, PNG) == {"said": "Good day."}

    (sent,) = player.bodies()
    address = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert sent["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": address}},
                {"type": "text", "text": "What is this?"},
            ],
        }
    ]


def test_what_is_no_picture_or_not_granted_is_not_sent(player: Player, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="is no picture that models see: PNG, JPEG, GIF, WEBP are"):
        see(player, tmp_path, b"%PDF-1.7")
    with pytest.raises(StepFailed, match="'/etc/hostname' may not be read"):
        see(player, tmp_path, PNG, images="/etc/hostname")
    assert player.bodies() == []


def test_pictures_do_not_count_by_their_bytes(player: Player) -> None:
    model = RemoteChatModel(player.url, name="eye", context_tokens=4096)
    text = model.count_tokens([Message("user", "What?")])
    whole = Message("user", "What?", images=(Image(bytes(1_000_000), "image/png"),))

    assert model.count_tokens([whole]) == text + 1024
    model.close()


def test_a_model_of_this_machine_says_that_it_reads_only(tmp_path: Path) -> None:
    path = write_model(tmp_path / "tiny.gguf", "attention")
    model = LlamaChatModel(path, name="tiny", context_tokens=256, slots=1, threads=1)
    with pytest.raises(UserError, match="tiny reads text only, and there is a picture"):
        model.stream(ChatRequest((Message("user", "Look", images=(Image(PNG, "image/png"),)),)))
    model.close()
