"""Being in a cluster of Ray: joined when it is needed, asked with a limit, left soon afterwards.

Nobody stays there for nothing: a process that is in when the head is replaced by another one does
not survive it.  Ray waits without end for a head that is not there, so whatever it is asked, it is
asked on another thread.  What is in the way is told in our words, with what to do about it.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from agentkit.cancel import CancelToken
from agentkit.errors import AgentkitError, MachineError

NAMESPACE = "agentkit"

REACHED = 3.0
"""Seconds in which the head of a cluster takes a connection."""

JOINED = 30.0
"""Seconds in which it lets this process in, and in which it answers afterwards."""

LOOK = 0.1
"""Seconds between two looks at a cancel."""


T = TypeVar("T")


class Membership:
    """That of this process in the cluster at an address.  May be used from any thread.

    What is held there goes with it, so both have one lock: nobody takes what is held while the head
    is found gone.  `forget` drops it, and is called with the lock, as is `idle` of `leave_if`.
    """

    def __init__(self, address: str, lock: threading.Lock, forget: Callable[[], None]) -> None:
        self._address = address
        self._lock = lock
        self._forget = forget
        self._joined = False
        self._users = 0

    @property
    def head(self) -> str:
        """Where its head is."""
        return os.environ.get("RAY_ADDRESS", "auto") if self._address == "auto" else self._address

    def enter(self, cancel: CancelToken) -> None:
        """Be inside until `exit`.  Raises `MachineError` with what is in the way."""
        with self._lock:
            try:
                self._check_address()
            except MachineError:
                self._drop()
                raise
            if not self._joined:
                self._join(cancel)
                self._joined = True
            self._users += 1

    def exit(self) -> None:
        """Be inside no longer; still joined until `leave_if`."""
        with self._lock:
            self._users -= 1

    def leave_if(self, idle: Callable[[], bool]) -> None:
        """Leave, if nobody is inside and nothing is held."""
        with self._lock:
            if self._joined and not self._users and idle():
                self._joined = False
                _leave()

    def end(self) -> None:
        """Leave, whoever is inside; what is held in the cluster is given back with it."""
        with self._lock:
            joined, self._joined = self._joined, False
        if joined:
            _leave()

    def ask(self, do: Callable[[], T], cancel: CancelToken) -> T:
        """What Ray says.  Raises `MachineError` for a cluster of which the head has gone.

        The next step joins anew: another head may be there by then.
        """
        try:
            return _asked(do, cancel, JOINED)
        except _Silent:
            with self._lock:
                self._drop()
            raise MachineError(
                f"the cluster at {self.head} does not answer any more",
                hint="is its head still up? ray status, and: agentkit cluster",
            ) from None

    def _drop(self) -> None:
        """Leave a head that has gone."""
        joined, self._joined = self._joined, False
        self._forget()
        if joined:
            _leave()

    def _join(self, cancel: CancelToken) -> None:
        """Raises `MachineError` with what is in the way."""
        try:
            import ray  # noqa: F401
        except ImportError:
            raise MachineError(
                "steps of this queue are done in a cluster, and Ray is not installed",
                hint="pip install 'agentkit[cluster]'",
            ) from None
        # Not in the main thread: there Ray would take SIGTERM for itself.
        try:
            _asked(lambda: _connect(self._address), cancel, JOINED)
        except _Silent:
            raise _shut(self.head) from None
        except Exception as error:
            if isinstance(error, AgentkitError):
                raise
            raise _explained(error, self.head) from None

    def _check_address(self) -> None:
        if self._address == "auto":
            return
        host, port = self._address.rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), REACHED).close()
        except OSError as error:
            raise MachineError(
                f"no cluster at {self._address}: {error.strerror or error}",
                hint="start its head there: ray start --head --num-cpus=0 --port=...",
            ) from None


def let_go(do: Callable[[], object]) -> None:
    """Have Ray do what comes by itself where its head has gone."""
    with suppress(Exception):
        _asked(do, CancelToken(), REACHED)


class _Silent(Exception):
    """Ray does not answer."""


def _asked(do: Callable[[], T], cancel: CancelToken, limit: float) -> T:
    """What Ray says, which waits without end for a head that is not there.

    Raises `_Silent` after a while, and what `do` raises.
    """
    said: list[T] = []
    failed: list[BaseException] = []
    done = threading.Event()

    def ask() -> None:
        try:
            said.append(do())
        except BaseException as error:
            failed.append(error)
        done.set()

    threading.Thread(target=ask, name="asks Ray", daemon=True).start()
    until = time.monotonic() + limit
    while not done.wait(LOOK):
        cancel.check()
        if time.monotonic() > until:
            raise _Silent
    if failed:
        raise failed[0]
    return said[0]


def _connect(address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # a question would start a cluster of its own
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "1000000")
    import ray  # it would end this process a minute after the head has gone, but for that

    if ray.is_initialized():
        ray.shutdown()  # of a head that has gone
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False)
    with suppress(AttributeError):  # it prints to stdout what we say ourselves, and has no switch
        ray._private.worker.print_to_stdstream = _unheard


def _leave() -> None:
    import ray

    let_go(ray.shutdown)


def _unheard(*said: Any, **how: Any) -> None:
    """What Ray would print."""


def _explained(error: BaseException, head: str) -> MachineError:
    """What keeps this process from joining, in our words."""
    said = str(error)
    if "ersion mismatch" in said:
        import ray

        ours = f"Ray {ray.__version__} and Python {platform.python_version()}"
        return MachineError(
            f"the cluster at {head} has another Ray or Python than this machine ({ours}): "
            f"{' '.join(said.split())[:300]}",
            hint="install the same versions on all machines of the cluster",
        )
    if isinstance(error, ConnectionError) and head == "auto":
        return MachineError(
            f"no cluster of Ray on this machine: {first_line(error)}",
            hint="ray start --head --num-cpus=0, or cluster.address in settings",
        )
    if isinstance(error, ConnectionError):
        return _shut(head)
    return MachineError(f"the cluster at {head} cannot be joined: {first_line(error)}")


def _shut(head: str) -> MachineError:
    """Somebody listens there, and does not answer."""
    return MachineError(
        f"the cluster at {head} does not let this process in: is its token another one?",
        hint="export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=..., as on its head",
    )


def first_line(error: BaseException) -> str:
    """What an error says, short enough for a sentence of ours."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300].rstrip(".")
