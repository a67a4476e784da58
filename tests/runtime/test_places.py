"""Places that all processes share: never more than there are, and none is lost with its holder."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled
from agentkit.runtime.places import Places

ROOT = Path(__file__).parents[2]
HOLDER = """\
import sys
from pathlib import Path
from agentkit.cancel import CancelToken
from agentkit.runtime.places import Places
with Places(Path(sys.argv[1])).taken("gpu", 1, "other", CancelToken()):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_no_more_than_the_limit_at_a_time(tmp_path: Path) -> None:
    places, at_work, most = Places(tmp_path), 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal at_work, most
        with places.taken("gpu", 2, "run", CancelToken()):
            with lock:
                at_work += 1
                most = max(most, at_work)
            with lock:
                at_work -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 <= most <= 2


def test_a_place_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    places = Places(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert places.free("gpu", 1, "me") is None
        assert places.holders("gpu", 1) == ["other"]
        other.send_signal(signal.SIGKILL)
        other.wait()

    with places.taken("gpu", 1, "me", CancelToken()):
        assert places.holders("gpu", 1) == ["me"]


def test_who_waits_hears_a_cancel(tmp_path: Path) -> None:
    places, cancel = Places(tmp_path), CancelToken()
    with places.taken("gpu", 1, "one", CancelToken()):
        threading.Timer(0.05, lambda: cancel.cancel("enough")).start()
        with (
            pytest.raises(Cancelled, match="enough"),
            places.taken("gpu", 1, "two", cancel),
        ):
            pytest.fail("two hold it")


def test_names_do_not_meet(tmp_path: Path) -> None:
    places = Places(tmp_path)
    with places.taken("a/b", 1, "one", CancelToken()), places.taken("a", 1, "two", CancelToken()):
        assert (places.holders("a/b", 1), places.holders("a", 1)) == (["one"], ["two"])
