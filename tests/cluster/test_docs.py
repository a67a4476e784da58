"""What the page on more than one machine shows is true."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from agentkit.runtime import Runtime

from .nodes import RAY

PAGE = (Path(__file__).parent.parent.parent / "docs" / "cluster.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_settings_are_valid(isolated_home: Path) -> None:
    isolated_home.mkdir()
    (isolated_home / "settings.yaml").write_text(blocks("settings")[0])
    with Runtime() as runtime:
        cluster = runtime.settings.cluster
        assert cluster.queues["gpu"].bundle == {"gpu_box": 1.0}
        assert runtime.settings.queues["audio"] == 1000
        assert cluster.queues["scripts"].bundle == {"CPU": 1.0}


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra is not installed")
def test_ray_knows_the_options() -> None:
    said = subprocess.run([RAY, "start", "--help"], capture_output=True, text=True, check=True)
    commands = [shlex.split(line.split("$", 1)[1]) for line in blocks("console")[2].splitlines()]
    assert [words[:2] for words in commands] == [["ray", "start"]] * 3
    named = {word.split("=")[0] for words in commands for word in words[2:]}
    named |= set(re.findall(r"`(--[a-z-]+)", PAGE))
    assert {name for name in named if name not in said.stdout} == set()
    for words in commands:
        for word in words:
            if word.startswith("--resources="):
                assert json.loads(word.removeprefix("--resources="))
