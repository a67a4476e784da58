"""Names that lead out of the store, files that two models share, what a killed process leaves."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agentkit.errors import MachineError, ModelDamaged, PullFailed, UnknownName, UserError
from agentkit.models.blobs import Blobs, Expected

if TYPE_CHECKING:
    from tests.models.conftest import FileServer, Home, Make, MakeStore

MakeGguf = Callable[..., bytes]


# -- names and roles -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../evil", "x" * 300, "", "/etc/passwd", "Big", "a/b", "m\n"])
def test_what_cannot_name_a_model_is_not_known(
    name: str, make: Make, make_store: MakeStore, tmp_path: Path
) -> None:
    original = tmp_path / "original.bin"
    original.write_bytes(b"x")
    store = make_store(m=make.entry(b"x", {"file": str(original)}))
    store.pull("m")
    manifest = (store.folder / "manifests" / "m.json").read_text()
    (store.folder / "evil.json").write_text(manifest)

    for ask in (store.resolve, store.manifest, store.describe, store.remove, store.verify):
        with pytest.raises(UnknownName, match="no model named"):
            ask(name)
    assert (store.folder / "evil.json").read_text() == manifest


@pytest.mark.parametrize("inside", ["../../evil", "other"])
def test_a_manifest_with_another_name_in_it_is_damaged(
    inside: str, make: Make, make_store: MakeStore, tmp_path: Path
) -> None:
    original = tmp_path / "original.bin"
    original.write_bytes(b"x")
    store = make_store(m=make.entry(b"x", {"file": str(original)}))
    store.pull("m")
    path = store.folder / "manifests" / "m.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": inside}))

    with pytest.raises(ModelDamaged, match="its manifest is"):
        store.resolve("m")


def test_a_model_of_another_role_is_refused(
    make_store: MakeStore, gguf: MakeGguf, tmp_path: Path
) -> None:
    (tmp_path / "tiny.gguf").write_bytes(gguf())
    store = make_store(far={"role": "embed", "files": [{"path": "f"}], "sources": [{"file": "/f"}]})
    store.add(tmp_path / "tiny.gguf")

    assert store.resolve("tiny", role="chat") == store.resolve("tiny")
    with pytest.raises(UserError) as caught:
        store.resolve("tiny", role="transcribe")
    assert str(caught.value) == "tiny is a chat model, not one for transcribe"
    assert caught.value.hint == "agentkit models list"
    with pytest.raises(UserError, match="far is an embed model, not one for chat"):
        store.resolve("far", role="chat")  # before anybody is told to pull it


# -- two models with one file ----------------------------------------------------------------------


def test_a_removal_leaves_what_another_model_is_just_getting(
    make: Make, make_store: MakeStore
) -> None:
    body = make.noise(1000)
    store = make_store(
        a=make.entry(body, {"file": "/nowhere"}), b=make.entry(body, {"file": "/nowhere"})
    )
    blobs, expected = Blobs(store.folder), Expected(size=1000, sha256=make.sha256(body))

    with blobs.lock(expected.key), blobs.partial(expected) as partial:
        partial.write(body[:600])
        with pytest.raises(UserError, match="nothing to remove"):
            store.remove("a")
        partial.write(body[600:])
        partial.finish()

    assert blobs.path(make.sha256(body)).read_bytes() == body


def test_a_partial_that_is_gone_at_the_end_is_an_error_of_ours(make: Make, tmp_path: Path) -> None:
    blobs, expected = Blobs(tmp_path), Expected(size=5, sha256=make.sha256(b"hello"))
    with blobs.partial(expected) as partial:
        partial.write(b"hello")
        partial.path.unlink()
        with pytest.raises(MachineError, match=r"partial cannot be written: No such file"):
            partial.finish()


# -- what is left over -----------------------------------------------------------------------------


def left_in(folder: Path) -> list[str]:
    """Partials and their locks."""
    kinds = ("blobs/*.partial*", "locks/address-*", "locks/git-*")
    return sorted(path.name for kind in kinds for path in folder.glob(kind))


def test_an_add_that_was_killed_is_swept_up_by_the_next_one(
    make_store: MakeStore, gguf: MakeGguf, tmp_path: Path
) -> None:
    (tmp_path / "tiny.gguf").write_bytes(gguf())
    store = make_store()
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from agentkit.models import Catalog, ModelStore\n"
        "def die(done, total, unit): os.kill(os.getpid(), signal.SIGKILL)\n"
        "ModelStore(Path(sys.argv[1]), Catalog()).add(Path(sys.argv[2]), progress=die)"
    )
    command = [sys.executable, "-c", code, str(store.folder), str(tmp_path / "tiny.gguf")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert len(left_in(store.folder)) == 2

    store.add(tmp_path / "tiny.gguf")

    assert left_in(store.folder) == []


def test_what_another_add_is_writing_is_not_swept_up(
    make_store: MakeStore, gguf: MakeGguf, tmp_path: Path
) -> None:
    (tmp_path / "tiny.gguf").write_bytes(gguf())
    store = make_store()
    blobs, busy = Blobs(store.folder), Expected(size=5, address="add by another process")

    with blobs.lock(busy.key), blobs.partial(busy) as partial:
        partial.write(b"hel")
        store.add(tmp_path / "tiny.gguf")
        store.remove("tiny")
        partial.write(b"lo")
        digest = partial.finish()

    assert blobs.path(digest).read_bytes() == b"hello"
    assert left_in(store.folder) == []


@pytest.mark.parametrize("git", [False, True], ids=["address", "git"])
def test_what_arrived_without_a_digest_is_kept_for_its_model_and_freed_with_it(
    git: bool, make: Make, make_store: MakeStore, gguf: MakeGguf, tmp_path: Path
) -> None:
    (tmp_path / "tiny.gguf").write_bytes(gguf())
    unknown = {"files": [{"path": "f"}], "sources": [{"file": "/nowhere"}]}
    store = make_store(m=unknown, m2=unknown)
    blobs = Blobs(store.folder)
    for owner in ("m", "m2"):
        sha1 = hashlib.sha1(b"", usedforsecurity=False).hexdigest() if git else None
        expected = Expected(git_sha1=sha1, address="https://there/f", owner=owner)
        with blobs.lock(expected.key), blobs.partial(expected) as partial:
            partial.write(b"hello")
    store.add(tmp_path / "tiny.gguf")
    assert len(left_in(store.folder)) == 4

    assert store.remove("m") == 5
    assert len(left_in(store.folder)) == 2
    with pytest.raises(UserError, match="nothing to remove"):
        store.remove("m")
    assert store.remove("m2") == 5
    assert left_in(store.folder) == []


def test_a_pull_from_an_address_alone_goes_on_where_the_one_before_ended(
    server: FileServer, home: Home, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(300_000)
    url = server.serve("/f", body, cuts=[20_000] * 4, headers={"ETag": '"1"'})
    store = make_store(m={"files": [{"path": "f"}], "sources": [{"url": url}]})
    with pytest.raises(PullFailed):
        store.pull("m")
    (partial,) = home.partials()
    arrived = partial.stat().st_size
    server.log.clear()

    store.pull("m")

    assert [asked.range for asked in server.gets("/f")] == [f"bytes={arrived}-"]
    assert store.resolve("m").read_bytes() == body
    assert home.partials() == []
