"""A disk that is full before, or becomes full during a pull: for real, not only patched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agentkit.errors import DiskFull, UserError

if TYPE_CHECKING:
    from tests.models.conftest import FileServer, Make, MakeStore

MB = 1 << 20
Usage = namedtuple("Usage", "total used free")


def test_too_little_space_is_told_before_anything_is_asked(
    server: FileServer, make: Make, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = make.noise(1000)
    store = make_store(m=make.entry(body, {"url": server.serve("/m.bin", body)}))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(2000, 1001, 999))

    with pytest.raises(DiskFull, match=r"the model 'm' needs 1 kB, but .* has 999 B free"):
        store.pull("m")
    assert server.log == []


def test_what_has_arrived_is_not_asked_for_space_again(
    server: FileServer, make: Make, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = make.noise(1000)
    store = make_store(m=make.entry(body, {"url": server.serve("/m.bin", body)}))
    partial = store.folder / "blobs" / f"sha256-{make.sha256(body)}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(body[:600])
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(2000, 1600, 400))

    store.pull("m")

    assert store.resolve("m").read_bytes() == body


def test_adding_a_model_looks_at_the_space_too(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "whisper"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"x" * 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(2000, 1001, 999))

    with pytest.raises(DiskFull):
        make_store().add(folder)


def test_a_size_that_only_the_server_knows_is_checked_when_it_is_told(
    server: FileServer, make: Make, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = make.noise(1000)
    url = server.serve("/m.bin", body)
    store = make_store(m=make.entry(body, {"url": url}, size=None))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(2000, 1001, 999))

    with pytest.raises(DiskFull):
        store.pull("m")


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="this system has no /dev/full")
def test_the_kernels_no_space_left_becomes_a_full_disk(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    """/dev/full answers every write with ENOSPC."""
    body = make.noise(1000)
    store = make_store(
        m=make.entry(body, {"url": server.serve("/m.bin", body)}, {"url": f"{server.url}/second"})
    )
    partial = store.folder / "blobs" / f"sha256-{make.sha256(body)}.partial"
    partial.parent.mkdir(parents=True)
    partial.symlink_to("/dev/full")

    with pytest.raises(DiskFull, match="the rest of the file"):
        store.pull("m")
    assert server.gets("/second") == [], "no other source can help"


PULL = """
import shutil, sys
from collections import namedtuple
from pathlib import Path
from agentkit.errors import MachineError
from agentkit.models import Catalog, ModelStore
shutil.disk_usage = lambda folder: namedtuple("Usage", "free")(1 << 40)  # full only later
store = ModelStore(Path(sys.argv[1]), Catalog.model_validate_json(sys.argv[2]))
try:
    store.pull("m")
except MachineError as error:
    print(type(error).__name__, sum(p.stat().st_size for p in store.folder.glob("blobs/*.partial")))
"""


def pull_in_a_child(*before: str, folder: Path, catalog: str) -> str:
    command = [*before, sys.executable, "-c", PULL, str(folder), catalog]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def can_mount() -> bool:
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        bool(shutil.which("unshare"))
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )


@pytest.mark.skipif(not can_mount(), reason="mounting a small disk is not allowed here")
def test_a_disk_that_fills_up_in_the_middle_keeps_what_has_arrived(
    server: FileServer, make: Make, tmp_path: Path
) -> None:
    """A file system of 4 MB, and a file of 6."""
    body = make.noise(6 * MB)
    catalog = {"models": {"m": {"role": "chat", **make.entry(body, {"url": ""})}}}
    catalog["models"]["m"]["sources"] = [{"url": server.serve("/m.bin", body)}]
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=4m tmpfs {disk} && exec "$@"'

    said = pull_in_a_child(
        "unshare", "-rm", "sh", "-c", mount, "sh",
        folder=disk / "models", catalog=json.dumps(catalog),
    )  # fmt: skip

    error, kept = said.split()
    assert error == "DiskFull"
    assert 3 * MB < int(kept) <= 4 * MB


def test_a_file_that_the_disk_does_not_allow_keeps_what_has_arrived(
    server: FileServer, make: Make, tmp_path: Path
) -> None:
    """The kernel's limit on the size of a file, as FAT has one: then the next pull goes on."""
    body = make.noise(3 * MB)
    catalog = {"models": {"m": {"role": "chat", **make.entry(body, {"url": ""})}}}
    catalog["models"]["m"]["sources"] = [{"url": server.serve("/m.bin", body)}]
    limit = 'ulimit -f 2048 && exec "$@"'  # blocks of 512 or 1024 bytes, as the shell has it
    text = json.dumps(catalog)

    said = pull_in_a_child("sh", "-c", limit, "sh", folder=tmp_path / "models", catalog=text)
    error, kept = said.split()
    assert error == "MachineError"
    assert int(kept) in (MB, 2 * MB)

    assert pull_in_a_child(folder=tmp_path / "models", catalog=text) == ""
    assert server.gets("/m.bin")[-1].range == f"bytes={kept}-"


def test_removing_what_an_interrupted_pull_left_frees_it(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(1000)
    store = make_store(m=make.entry(body, {"url": server.serve("/m.bin", body)}))
    partial = store.folder / "blobs" / f"sha256-{make.sha256(body)}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(body[:600])

    assert store.remove("m") == 600
    assert not partial.exists()
    with pytest.raises(UserError, match="nothing to remove"):
        store.remove("m")
