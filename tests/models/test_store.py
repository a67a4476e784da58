"""The store: what is found damaged, what may be added, what a removal leaves alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, ModelDamaged, ModelMissing, UnknownName, UserError
from agentkit.models import ModelStore

if TYPE_CHECKING:
    from tests.models.conftest import Make, MakeStore

MakeGguf = Callable[..., bytes]


@pytest.fixture
def pulled(make: Make, make_store: MakeStore, tmp_path: Path) -> ModelStore:
    """A store with the model `m` in it, a single file."""
    body = make.noise(100_000)
    original = tmp_path / "original.bin"
    original.write_bytes(body)
    store = make_store(m=make.entry(body, {"file": str(original)}))
    store.pull("m")
    return store


def overwrite(blob: Path, change: Callable[[bytes], bytes]) -> None:
    """Alter a blob as a failing disk would, or a person with an editor."""
    blob.chmod(0o644)
    blob.write_bytes(change(blob.read_bytes()))


def flip(data: bytes) -> bytes:
    return data[:50_000] + bytes([data[50_000] ^ 1]) + data[50_001:]


# -- damage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(flip, "m.bin was altered: digest is", id="one byte flipped"),
        pytest.param(lambda data: data[:-1], "99999 bytes instead of 100000", id="truncated"),
        pytest.param(lambda data: data + b"x", "100001 bytes instead of 100000", id="longer"),
    ],
)
def test_a_damaged_file_is_found_when_the_model_is_next_used_and_repaired_by_a_pull(
    pulled: ModelStore, change: Callable[[bytes], bytes], said: str
) -> None:
    overwrite(pulled.resolve("m"), change)

    with pytest.raises(ModelDamaged, match=said) as caught:
        pulled.resolve("m")
    assert caught.value.hint == "agentkit models pull m"
    pulled.pull("m")
    pulled.verify("m")


def test_a_flipped_byte_that_hides_its_time_is_found_by_verify(pulled: ModelStore) -> None:
    blob = pulled.resolve("m")
    before = blob.stat()
    overwrite(blob, flip)
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert pulled.resolve("m") == blob
    with pytest.raises(ModelDamaged, match="was altered"):
        pulled.verify("m")


def test_a_file_that_was_only_touched_is_checked_once_and_stays(pulled: ModelStore) -> None:
    blob = pulled.resolve("m")
    os.utime(blob, ns=(1, 1))

    assert pulled.resolve("m") == blob
    assert pulled.manifest("m").files[0].mtime_ns == 1


def test_a_blob_that_is_gone_is_damage(pulled: ModelStore) -> None:
    pulled.resolve("m").unlink()

    with pytest.raises(ModelDamaged, match=r"m\.bin is gone from the store"):
        pulled.resolve("m")
    pulled.pull("m")
    pulled.verify("m")


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"schema_version": 2}', "\0"])
def test_a_broken_manifest_is_told_listed_and_repaired(pulled: ModelStore, broken: str) -> None:
    (pulled.folder / "manifests" / "m.json").write_text(broken)

    with pytest.raises(ModelDamaged, match="its manifest is broken"):
        pulled.resolve("m")
    assert [entry.fault for entry in pulled.entries()] != [""]
    pulled.pull("m")
    assert pulled.entry("m").fault == ""


def test_a_verification_can_be_cancelled(pulled: ModelStore) -> None:
    token = CancelToken()
    token.cancel()

    with pytest.raises(Cancelled):
        pulled.verify("m", cancel=token)


def test_models_that_are_not_here_and_not_known_are_told_apart(
    make: Make, make_store: MakeStore
) -> None:
    store = make_store(m=make.entry(b"x", {"file": "/x"}))

    with pytest.raises(ModelMissing) as caught:
        store.resolve("m")
    assert caught.value.hint == "agentkit models pull m"
    with pytest.raises(UnknownName, match='did you mean "m"'):
        store.resolve("M")


def test_looking_makes_no_folders(make: Make, make_store: MakeStore) -> None:
    store = make_store(m=make.entry(b"x", {"file": "/x"}))

    store.entries()
    store.describe("m")

    assert not store.folder.exists()


# -- models of several files -----------------------------------------------------------------------


def folder_model(make: Make, tmp_path: Path, files: dict[str, bytes]) -> dict[str, Any]:
    origin = tmp_path / "origin"
    for path, body in files.items():
        (origin / path).parent.mkdir(parents=True, exist_ok=True)
        (origin / path).write_bytes(body)
    listed = [{"path": path, "sha256": make.sha256(body)} for path, body in files.items()]
    return {"files": listed, "sources": [{"file": str(origin)}]}


def test_a_model_of_several_files_is_a_folder_of_links_that_can_be_moved(
    make: Make, make_store: MakeStore, tmp_path: Path
) -> None:
    files = {"model.bin": b"weights", "1_Pooling/config.json": b"{}"}
    store = make_store(w=folder_model(make, tmp_path, files))
    store.pull("w")

    view = store.resolve("w")

    assert store.resolve("w") == view
    assert {path: (view / path).read_bytes() for path in files} == files
    moved = store.folder.rename(tmp_path / "elsewhere")
    assert (moved / view.relative_to(store.folder) / "model.bin").read_bytes() == b"weights"


def test_a_new_version_of_a_model_gets_a_new_folder(
    make: Make, make_store: MakeStore, tmp_path: Path
) -> None:
    old = make_store(w=folder_model(make, tmp_path, {"model.bin": b"old", "c.json": b"{}"}))
    old.pull("w")
    before = old.resolve("w")
    new = make_store(w=folder_model(make, tmp_path, {"model.bin": b"new", "c.json": b"{}"}))
    new.pull("w")

    assert new.resolve("w") != before
    assert (new.resolve("w") / "model.bin").read_bytes() == b"new"
    assert not before.exists()
    kept = {path.name for path in (new.folder / "blobs").iterdir()}
    assert kept == {f"sha256-{make.sha256(body)}" for body in (b"new", b"{}")}


def test_a_store_that_cannot_be_written_to_can_be_used(
    make: Make, make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store(w=folder_model(make, tmp_path, {"model.bin": b"weights", "c.json": b"{}"}))
    store.pull("w")
    folders = [store.folder, *(path for path in store.folder.iterdir() if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        if os.access(store.folder, os.W_OK):
            pytest.skip("root may write everywhere")
        os.utime(store.folder / "blobs" / f"sha256-{make.sha256(b'weights')}", ns=(1, 1))
        assert (store.resolve("w") / "model.bin").read_bytes() == b"weights"
    finally:
        for folder in folders:
            folder.chmod(0o755)


# -- remove ----------------------------------------------------------------------------------------


def test_a_removal_frees_what_no_other_model_names(
    make: Make, make_store: MakeStore, tmp_path: Path
) -> None:
    one = folder_model(make, tmp_path, {"model.bin": b"shared", "a.json": b"only one"})
    two = {**one, "files": one["files"][:1]}
    store = make_store(one=one, two=two)
    store.pull("one")
    store.pull("two")
    store.resolve("one")

    assert store.remove("one") == len(b"only one")
    assert store.resolve("two").read_bytes() == b"shared"
    assert not list((store.folder / "views").iterdir())
    assert store.remove("two") == len(b"shared")
    assert not list((store.folder / "blobs").iterdir())


def test_a_removal_does_nothing_while_it_cannot_tell_what_others_need(
    make: Make, make_store: MakeStore, tmp_path: Path
) -> None:
    one = folder_model(make, tmp_path, {"model.bin": b"shared"})
    store = make_store(one=one, two=one)
    store.pull("one")
    store.pull("two")
    (store.folder / "manifests" / "two.json").write_text("{")

    with pytest.raises(ModelDamaged, match="two: its manifest is broken"):
        store.remove("one")
    store.verify("one")


def test_a_model_with_a_broken_manifest_can_be_removed(pulled: ModelStore) -> None:
    (pulled.folder / "manifests" / "m.json").write_text("{")

    assert pulled.remove("m") == 100_000


def test_what_is_not_known_cannot_be_removed(pulled: ModelStore) -> None:
    with pytest.raises(UnknownName):
        pulled.remove("../m")


# -- add -------------------------------------------------------------------------------------------


def test_a_gguf_file_is_added_under_its_own_name(
    make_store: MakeStore, gguf: MakeGguf, tmp_path: Path
) -> None:
    path = tmp_path / "My Model Q4.gguf"
    path.write_bytes(gguf())
    store = make_store()
    seen: list[float] = []

    manifest = store.add(path, progress=lambda done, total, unit: seen.append(done))

    assert (manifest.name, manifest.role, manifest.licence) == ("my-model-q4", "chat", "mit")
    assert store.resolve("my-model-q4").read_bytes() == gguf()
    assert seen[-1] == len(gguf())
    assert [entry.name for entry in store.entries()] == ["my-model-q4"]
    path.unlink()
    store.verify("my-model-q4")


def test_a_gguf_file_that_says_how_it_pools_is_for_embeddings(
    make_store: MakeStore, gguf: Callable[..., bytes], tmp_path: Path
) -> None:
    (tmp_path / "e.gguf").write_bytes(gguf({"llama.pooling_type": 1}))

    assert make_store().add(tmp_path / "e.gguf").role == "embed"
    assert make_store().add(tmp_path / "e.gguf", "talks", "chat").role == "chat"


@pytest.mark.parametrize(
    ("mark", "role"),
    [
        ("model.bin", "transcribe"),
        ("model.safetensors", "embed"),
        ("config_sentence_transformers.json", "embed"),
    ],
)
def test_a_folder_is_known_by_its_files(
    make_store: MakeStore, tmp_path: Path, mark: str, role: str
) -> None:
    folder = tmp_path / "model"
    (folder / ".cache").mkdir(parents=True)
    (folder / ".cache" / "junk").write_bytes(b"x")
    (folder / mark).write_bytes(b"weights")
    (folder / "config.json").write_bytes(b"{}")
    store = make_store()

    manifest = store.add(folder, "mine")

    assert manifest.role == role
    assert {file.path for file in manifest.files} == {mark, "config.json"}
    assert (store.resolve("mine") / mark).read_bytes() == b"weights"


def test_a_truncated_gguf_file_is_not_added(
    make_store: MakeStore, gguf: MakeGguf, tmp_path: Path
) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf()[:-1])
    store = make_store()

    with pytest.raises(ModelDamaged, match="truncated") as caught:
        store.add(path)
    assert caught.value.hint == "get the file again, and compare its size with that at its source"
    assert store.names() == []


def test_one_part_of_a_split_model_is_not_added(
    make_store: MakeStore, gguf: MakeGguf, tmp_path: Path
) -> None:
    path = tmp_path / "m-00001-of-00003.gguf"
    path.write_bytes(gguf({"split.count": 3}))

    with pytest.raises(UserError, match="one of the 3 files") as caught:
        make_store().add(path)
    assert "llama-gguf-split --merge" in (caught.value.hint or "")


def test_what_is_no_model_is_not_added(make_store: MakeStore, tmp_path: Path) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("Dear all")
    store = make_store()

    with pytest.raises(UserError, match="is not a GGUF file") as caught:
        store.add(text)
    assert "model.safetensors" in (caught.value.hint or "")
    assert "repaired" not in (caught.value.hint or "")
    with pytest.raises(UserError, match="neither"):
        store.add(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        store.add(tmp_path / "nothing")
    with pytest.raises(UserError, match="cannot name a model"):
        store.add(text, "../evil")


def test_a_folder_with_a_gguf_file_says_to_add_the_file(
    make_store: MakeStore, gguf: MakeGguf, tmp_path: Path
) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf())

    with pytest.raises(UserError) as caught:
        make_store().add(tmp_path)
    assert caught.value.hint == (f"add the file itself: agentkit models add {tmp_path / 'm.gguf'}")


def test_a_name_is_not_taken_over_by_another_model(
    make_store: MakeStore, gguf: MakeGguf, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.gguf", tmp_path / "b.gguf"
    first.write_bytes(gguf())
    second.write_bytes(gguf({"general.name": "Other"}))
    store = make_store()
    store.add(first, "mine")

    store.add(first, "mine")
    with pytest.raises(UserError, match="another model named 'mine'"):
        store.add(second, "mine")
    store.verify("mine")


def test_a_catalog_model_that_was_brought_by_hand_must_be_the_right_one(
    make: Make, make_store: MakeStore, gguf: MakeGguf, tmp_path: Path
) -> None:
    right, wrong = tmp_path / "right.gguf", tmp_path / "wrong.gguf"
    right.write_bytes(gguf())
    wrong.write_bytes(gguf({"general.name": "Tony"}))
    entry = make.entry(gguf(), {"hf": "owner/model"}, path="official.gguf")
    store = make_store(m={**entry, "licence": "Apache-2.0"})

    with pytest.raises(ModelDamaged, match="digest is"):
        store.add(wrong, "m")
    with pytest.raises(ModelMissing):
        store.resolve("m")
    manifest = store.add(right, "m")

    assert (manifest.licence, manifest.files[0].path) == ("Apache-2.0", "official.gguf")
    assert store.pull("m") == manifest, "nothing is left to fetch"


def test_a_cancelled_add_leaves_nothing(
    make_store: MakeStore, gguf: MakeGguf, tmp_path: Path
) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf())
    store = make_store()
    token = CancelToken()

    with pytest.raises(Cancelled):
        store.add(path, progress=lambda done, total, unit: token.cancel(), cancel=token)
    assert not list((store.folder / "blobs").iterdir())


# -- describe --------------------------------------------------------------------------------------


def test_a_description_has_header_and_memory(
    make_store: MakeStore, gguf: MakeGguf, tmp_path: Path
) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf())
    store = make_store()
    store.add(path)

    described = store.describe("m")

    assert described.gguf is not None
    assert described.gguf.name == "Tiny"
    assert [need.context_tokens for need in described.needs] == [4096, 8192]
    assert store.describe("m", 100).needs[0].context_tokens == 100


def test_a_model_that_is_not_here_is_described_from_the_catalog(
    make: Make, make_store: MakeStore
) -> None:
    store = make_store(m=make.entry(b"12345", {"hf": "owner/model"}))

    described = store.describe("m")

    assert (described.entry.size, described.path, described.gguf) == (5, None, None)
    assert described.sources == ("hf:owner/model",)
