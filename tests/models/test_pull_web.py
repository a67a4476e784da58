"""Pulling over HTTP: `url:` and the hub, with connections that break and servers that err."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, PullFailed, UnknownName

if TYPE_CHECKING:
    from tests.models.conftest import FileServer, Make, MakeStore

MB = 1 << 20


# -- url -------------------------------------------------------------------------------------------


def test_a_pulled_file_is_a_blob_named_by_its_digest(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(3 * MB)
    store = make_store(m=make.entry(body, {"url": server.serve("/m.bin", body)}))

    manifest = store.pull("m")

    assert store.resolve("m").name == f"sha256-{make.sha256(body)}"
    assert store.resolve("m").read_bytes() == body
    assert manifest.source == f"url:{server.url}/m.bin"
    assert store.resolve("m").stat().st_mode & 0o222 == 0


def test_pulling_again_asks_nothing(server: FileServer, make: Make, make_store: MakeStore) -> None:
    body = make.noise(1000)
    store = make_store(m=make.entry(body, {"url": server.serve("/m.bin", body)}))
    first = store.pull("m")
    server.log.clear()

    assert store.pull("m") == first
    assert server.log == []


def test_progress_counts_bytes_up_to_the_size(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(3 * MB)
    store = make_store(m=make.entry(body, {"url": server.serve("/m.bin", body)}))
    seen: list[tuple[float, float | None, str]] = []

    store.pull("m", lambda *progress: seen.append(progress))

    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1] == (3 * MB, 3 * MB, "B")


def test_a_broken_connection_is_taken_up_where_it_broke(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(3 * MB)
    url = server.serve("/m.bin", body, cuts=[MB + 5, 7])
    store = make_store(m=make.entry(body, {"url": url}))

    store.pull("m")

    assert store.resolve("m").read_bytes() == body
    assert [asked.range for asked in server.gets("/m.bin")] == [
        None,
        f"bytes={MB + 5}-",
        f"bytes={MB + 12}-",
    ]


def test_a_server_without_ranges_starts_again_from_zero(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(2 * MB)
    url = server.serve("/m.bin", body, cuts=[MB], ranges=False)
    store = make_store(m=make.entry(body, {"url": url}))

    store.pull("m")

    assert store.resolve("m").read_bytes() == body


def test_what_arrived_before_a_failure_is_not_fetched_again(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(2 * MB)
    url = server.serve("/m.bin", body, cuts=[MB, 0, 0, 0])
    store = make_store(m=make.entry(body, {"url": url}))

    with pytest.raises(PullFailed, match="broke off"):
        store.pull("m")
    server.log.clear()
    store.pull("m")

    assert [asked.range for asked in server.gets("/m.bin")] == [f"bytes={MB}-"]
    assert store.resolve("m").read_bytes() == body


def test_a_flipped_byte_is_found_and_the_next_source_is_asked(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(2 * MB)
    flipped = body[:MB] + bytes([body[MB] ^ 1]) + body[MB + 1 :]
    notes: list[str] = []
    store = make_store(
        m=make.entry(
            body,
            {"url": server.serve("/flipped", flipped)},
            {"url": server.serve("/right", body)},
        )
    )

    manifest = store.pull("m", note=notes.append)

    assert manifest.source.endswith("/right")
    assert store.resolve("m").read_bytes() == body
    assert server.gets("/right")[0].range is None, "the damaged bytes were thrown away"
    assert f"digest is {make.sha256(flipped)[:12]}…, expected {make.sha256(body)[:12]}…" in notes[0]


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        pytest.param(-1, "offers 2097151 bytes, expected 2097152", id="one byte short"),
        pytest.param(0, "offers 0 bytes, expected 2097152", id="empty"),
    ],
)
def test_a_truncated_file_is_refused_before_it_is_downloaded(
    server: FileServer, make: Make, make_store: MakeStore, cut: int, said: str
) -> None:
    body = make.noise(2 * MB)
    url = server.serve("/m.bin", body[:cut])
    store = make_store(m=make.entry(body, {"url": url}))

    with pytest.raises(PullFailed, match=said):
        store.pull("m")
    assert not store.entry("m").installed


def test_bytes_left_by_another_version_are_dropped_and_the_pull_starts_over(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(2 * MB)
    store = make_store(m=make.entry(body, {"url": server.serve("/m.bin", body)}))
    partial = store.folder / "blobs" / f"sha256-{make.sha256(body)}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"x" * MB)

    store.pull("m")

    assert store.resolve("m").read_bytes() == body
    assert [asked.range for asked in server.gets("/m.bin")] == [f"bytes={MB}-", None]


def test_too_many_left_bytes_are_dropped_too(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(1000)
    store = make_store(m=make.entry(body, {"url": server.serve("/m.bin", body)}))
    partial = store.folder / "blobs" / f"sha256-{make.sha256(body)}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"x" * 1001)

    store.pull("m")

    assert store.resolve("m").read_bytes() == body


def test_a_complete_partial_needs_no_request(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(1000)
    store = make_store(m=make.entry(body, {"url": server.serve("/m.bin", body)}))
    partial = store.folder / "blobs" / f"sha256-{make.sha256(body)}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(body)

    store.pull("m")

    assert server.log == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_in_trouble_is_asked_again(
    server: FileServer, make: Make, make_store: MakeStore, status: int
) -> None:
    body = make.noise(1000)
    url = server.serve("/m.bin", body, failures=[status, status, status])
    store = make_store(m=make.entry(body, {"url": url}))

    store.pull("m")

    assert len(server.gets("/m.bin")) == 4


def test_every_source_and_its_reason_are_in_the_error(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(1000)
    url = server.serve("/error", body, failures=[500] * 9)
    store = make_store(
        m=make.entry(
            body,
            {"url": f"{server.url}/nothing"},
            {"url": url},
            {"url": "http://127.0.0.1:1/closed"},
            {"url": "https://nowhere.invalid/m.bin"},
            {"url": server.serve("/other", make.noise(1000, "other"))},
            {"file": "/no/such/file"},
        )
    )

    with pytest.raises(PullFailed) as caught:
        store.pull("m")

    reasons = [attempt.reason for attempt in caught.value.attempts]
    assert reasons[:3] == [
        "HTTP 404",
        "HTTP 500",
        "no answer from 127.0.0.1: connection refused",
    ]
    assert reasons[3] == "no answer from nowhere.invalid: its name could not be resolved"
    assert reasons[4].startswith("digest is ")
    assert reasons[5] == "/no/such/file: no such file or directory"
    assert caught.value.hint == "bring the file by other means: agentkit models add FILE --name m"


@pytest.mark.parametrize("pinned", [True, False])
def test_plain_http_to_another_machine_needs_a_digest(
    make: Make, make_store: MakeStore, pinned: bool
) -> None:
    body = make.noise(10)
    digest = {} if pinned else {"sha256": None}
    store = make_store(m=make.entry(body, {"url": "http://nowhere.invalid/m.bin"}, **digest))

    said = "could not be resolved" if pinned else "without encryption"
    with pytest.raises(PullFailed, match=said):
        store.pull("m")


def test_redirects_are_followed_but_not_for_ever(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(1000)
    server.serve("/real", body)
    url = server.serve("/moved", status=302, headers={"Location": "/real"})
    loop = server.serve("/loop", status=302, headers={"Location": "/loop"})
    store = make_store(m=make.entry(body, {"url": loop}, {"url": url}))
    notes: list[str] = []

    store.pull("m", note=notes.append)

    assert "redirects" in notes[0]


def test_without_a_digest_a_download_goes_on_only_while_the_file_is_the_same(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    old, new = make.noise(2 * MB, "old"), make.noise(2 * MB, "new")
    url = server.serve("/m.bin", old, headers={"ETag": '"old"'}, cuts=[MB, 0, 0, 0])
    store = make_store(m=make.entry(old, {"url": url}, sha256=None, size=None))
    with pytest.raises(PullFailed):
        store.pull("m")
    server.log.clear()
    server.serve("/m.bin", new, headers={"ETag": '"new"'})

    store.pull("m")

    asked = server.gets("/m.bin")[0]
    assert (asked.range, asked.headers["if-range"]) == (f"bytes={MB}-", '"old"')
    assert store.resolve("m").read_bytes() == new


def test_without_a_digest_a_truncated_gguf_is_found_all_the_same(
    server: FileServer, make: Make, make_store: MakeStore, gguf: Callable[..., bytes]
) -> None:
    whole = gguf()
    url = server.serve("/m.gguf", whole[:-7])
    model = make.entry(whole, {"url": url}, path="m.gguf", sha256=None, size=None)
    store = make_store(m=model)

    with pytest.raises(PullFailed, match="truncated"):
        store.pull("m")
    server.serve("/m.gguf", whole)
    store.pull("m")

    assert store.resolve("m").read_bytes() == whole


def test_a_folder_address_has_all_files_of_a_model(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    server.serve("/w/model.bin", b"weights")
    server.serve("/w/sub/config.json", b"{}")
    files = [{"path": "model.bin"}, {"path": "sub/config.json"}]
    store = make_store(m={"files": files, "sources": [{"url": f"{server.url}/w/"}]})

    store.pull("m")

    folder = store.resolve("m")
    assert (folder / "model.bin").read_bytes() == b"weights"
    assert (folder / "sub" / "config.json").read_bytes() == b"{}"


def test_a_cancel_wakes_up_a_download_that_waits_for_bytes(
    server: FileServer, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(2 * MB)
    url = server.serve("/m.bin", body, hold_after=MB)
    store = make_store(m=make.entry(body, {"url": url}))
    token = CancelToken()

    def stop_when_held() -> None:
        server.holding.wait(30)
        token.cancel("enough")

    threading.Thread(target=stop_when_held, daemon=True).start()
    with pytest.raises(Cancelled, match="enough"):
        store.pull("m", cancel=token)

    assert not server.release.is_set(), "the server was still holding the rest back"
    server.log.clear()
    store.pull("m")
    assert store.resolve("m").read_bytes() == body


def test_an_unknown_model_is_told_with_the_nearest_name(make: Make, make_store: MakeStore) -> None:
    store = make_store(smollm=make.entry(b"x", {"file": "/x"}))

    with pytest.raises(UnknownName, match='did you mean "smollm"'):
        store.pull("smolm")


# -- hf --------------------------------------------------------------------------------------------

REPOSITORY = "owner/model"


class Hub:
    """A hub with its files on another host, as the real one has."""

    def __init__(self, hub: FileServer, cdn: FileServer, make: Make) -> None:
        self.hub, self.cdn, self._make = hub, cdn, make

    def large(self, path: str, body: bytes, revision: str = "main", **how: Any) -> None:
        """A file in LFS: redirect to the CDN, SHA-256 in the headers."""
        location = self.cdn.serve(f"/lfs/{path}", body, **how)
        headers = {
            "Location": location,
            "X-Linked-Etag": f'"{self._make.sha256(body)}"',
            "X-Linked-Size": str(len(body)),
            "ETag": '"of the redirect"',
        }
        self.hub.serve(self.place(path, revision), b"moved", status=302, headers=headers)

    def small(self, path: str, body: bytes, revision: str = "main") -> None:
        """A file in git: a redirect within the hub, git's SHA-1 as ETag."""
        cache = f"/api/resolve-cache/models/{REPOSITORY}/0123abc/{path}"
        etag = f'"{self._make.git_sha1(body)}"'
        headers = {"Location": cache, "ETag": etag, "Content-Length": "0"}
        self.hub.serve(self.place(path, revision), status=307, headers=headers)
        self.hub.serve(cache, body, headers={"ETag": etag})

    @staticmethod
    def place(path: str, revision: str = "main") -> str:
        return f"/{REPOSITORY}/resolve/{revision}/{path}"


@pytest.fixture
def hub(make_server: Callable[[], FileServer], make: Make, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub, cdn = make_server(), make_server()
    monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
    return Hub(hub, cdn, make)


def on_hub(*paths: str, **over: Any) -> dict[str, Any]:
    files = [{"path": path, **over} for path in paths]
    return {"files": files, "sources": [{"hf": REPOSITORY}]}


def test_the_hub_names_digest_and_size_of_a_large_file(
    hub: Hub, make: Make, make_store: MakeStore
) -> None:
    body = make.noise(2 * MB)
    hub.large("m.bin", body, cuts=[MB])
    store = make_store(m=on_hub("m.bin"))
    totals: list[float | None] = []

    manifest = store.pull("m", lambda done, total, unit: totals.append(total))

    assert manifest.files[0].digest == make.sha256(body)
    assert manifest.source == f"hf:{REPOSITORY}"
    assert set(totals) == {2 * MB}
    assert [asked.range for asked in hub.cdn.gets("/lfs/m.bin")] == [None, f"bytes={MB}-"]


def test_a_mirror_may_keep_large_files_itself(
    server: FileServer, make: Make, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    Hub(server, server, make).large("m.bin", b"weights")
    store = make_store(m=on_hub("m.bin"))

    assert store.pull("m").files[0].digest == make.sha256(b"weights")


def test_a_small_file_is_checked_against_its_git_digest(
    hub: Hub, make: Make, make_store: MakeStore
) -> None:
    hub.small("config.json", b'{"a": 1}')
    hub.large("model.bin", b"weights")
    store = make_store(m=on_hub("model.bin", "config.json"))

    store.pull("m")

    assert (store.resolve("m") / "config.json").read_bytes() == b'{"a": 1}'


def test_a_flipped_byte_in_a_small_file_is_found(
    hub: Hub, make: Make, make_store: MakeStore
) -> None:
    hub.small("config.json", b'{"a": 1}')
    hub.hub.routes[f"/api/resolve-cache/models/{REPOSITORY}/0123abc/config.json"].body = b'{"a": 2}'
    store = make_store(m=on_hub("config.json"))

    with pytest.raises(PullFailed, match="digest is"):
        store.pull("m")


def test_a_flipped_byte_from_the_cdn_is_found(hub: Hub, make: Make, make_store: MakeStore) -> None:
    body = make.noise(MB)
    hub.large("m.bin", body)
    hub.cdn.routes["/lfs/m.bin"].body = b"\0" + body[1:]
    store = make_store(m=on_hub("m.bin"))

    with pytest.raises(PullFailed, match="digest is"):
        store.pull("m")
    assert not list((store.folder / "blobs").glob("*.partial")), "the damaged bytes are gone"


def test_another_file_in_the_place_is_seen_before_it_is_downloaded(
    hub: Hub, make: Make, make_store: MakeStore
) -> None:
    hub.large("m.bin", b"another")
    store = make_store(m=on_hub("m.bin", sha256=make.sha256(b"the one"), size=7))

    with pytest.raises(PullFailed, match="has another file there: digest"):
        store.pull("m")
    assert hub.cdn.log == []


def test_a_revision_is_asked_for_by_name(hub: Hub, make: Make, make_store: MakeStore) -> None:
    hub.large("m.bin", b"weights", revision="v1.0")
    store = make_store(m={"files": [{"path": "m.bin"}], "sources": [{"hf": f"{REPOSITORY}@v1.0"}]})

    assert store.pull("m").size == 7


def test_the_token_goes_to_the_hub_and_to_nobody_else(
    hub: Hub, make: Make, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.large("m.bin", b"weights")
    hub.small("config.json", b"{}")
    store = make_store(m=on_hub("m.bin", "config.json"))

    store.pull("m")

    assert {asked.headers.get("authorization") for asked in hub.hub.log} == {"Bearer hf_secret"}
    assert {asked.headers.get("authorization") for asked in hub.cdn.log} == {None}


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (401, {}, "HTTP 401: no such repository, or HF_TOKEN is needed"),
        (403, {"X-Error-Message": "gated"}, r"HTTP 403 \(gated\)"),
        (404, {"X-Error-Message": "Entry not found"}, r"HTTP 404 \(Entry not found\)"),
        (500, {}, "HTTP 500"),
        (200, {}, "gives no digest"),
    ],
)
def test_what_the_hub_answers_is_told(
    hub: Hub, make_store: MakeStore, status: int, headers: dict[str, str], said: str
) -> None:
    hub.hub.serve(Hub.place("m.bin"), b"", status=status, headers=headers)
    store = make_store(m=on_hub("m.bin"))

    with pytest.raises(PullFailed, match=said):
        store.pull("m")


def test_a_hub_that_cannot_be_reached_is_asked_once_for_all_files(
    make: Make, make_store: MakeStore, server: FileServer
) -> None:
    server.serve("/w/a", b"a")
    server.serve("/w/b", b"b")
    files = [{"path": "a"}, {"path": "b"}]
    sources = [{"hf": REPOSITORY}, {"url": f"{server.url}/w/"}]
    store = make_store(m={"files": files, "sources": sources})
    notes: list[str] = []

    store.pull("m", note=notes.append)

    assert notes == [f"hf:{REPOSITORY}: no answer from 127.0.0.1: connection refused"]


def test_offline_means_that_the_hub_is_not_asked(
    hub: Hub, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    store = make_store(m=on_hub("m.bin"))

    with pytest.raises(PullFailed, match="HF_HUB_OFFLINE is set"):
        store.pull("m")
    assert hub.hub.log == []


def test_an_unencrypted_mirror_elsewhere_is_not_trusted_for_digests(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.invalid")
    store = make_store(m=on_hub("m.bin"))

    with pytest.raises(PullFailed, match="without encryption"):
        store.pull("m")
