"""Ray: which machines there are, who may use them now, and one process on each that does the work.

A step takes its place in the cluster as a placement group of one bundle, so that Ray counts, lets
wait and chooses the machine.  The process there is an actor with a name, the same for all that ask
for it: models are loaded once on a machine, whoever uses them.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import agentkit
from agentkit.cancel import CancelToken
from agentkit.cluster.host import Host, Workplace
from agentkit.cluster.worker import RemoteWorker
from agentkit.errors import AgentkitError, MachineError, UserError, WorkerLost

NAMESPACE = "agentkit"

REACHED = 3.0
"""Seconds in which the head of a cluster takes a connection."""

JOINED = 30.0
"""Seconds in which it lets this process in, and in which it answers afterwards."""

OPENED = 60.0
"""Seconds in which a worker starts and says what it is: it may have to import much."""

PATIENCE = 5.0
"""Seconds of waiting after which it is said."""

LOOK = 0.1
"""Seconds between two looks at a cancel."""

KEPT = 2.0
"""Seconds that a place is kept for the next step of its queue: Ray takes up to one to free it."""

LONGEST = 30.0
"""Seconds after which it is given back all the same, so that others have their turn."""

AT_A_TIME = 64
"""Questions that a worker answers at the same time."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of the cluster, and all that it has."""

    id: str
    name: str
    address: str
    has: Mapping[str, float]
    worker: int | None
    """The process that does work there, if there is one."""

    @property
    def resources(self) -> dict[str, float]:
        """What steps can take, without what Ray counts for itself."""
        own = ("memory", "object_store_memory")
        return {k: v for k, v in self.has.items() if k not in own and not k.startswith("node:")}

    def offers(self, bundle: Mapping[str, float]) -> bool:
        """Whether it has that much, taken or not."""
        return all(self.has.get(name, 0) >= amount for name, amount in bundle.items())


@dataclass(slots=True)
class _Seat:
    """What a step takes, held in Ray; `node` is where."""

    group: Any
    node: str
    taken: float
    left: float = 0.0


@dataclass
class RayWorkers:
    """`ports.Workers` in a cluster of Ray.  `queues` say what a step takes, in Ray's words."""

    address: str
    queues: Mapping[str, Mapping[str, float]]
    open_workplace: Callable[[], Workplace]
    _seats: dict[str, list[_Seat]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _joined: bool = False
    _users: int = 0
    _closed: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def taken(
        self, queue: str, warn: Callable[[str], None], cancel: CancelToken
    ) -> Iterator[RemoteWorker]:
        """See `ports.Workers.taken`."""
        with self._inside(cancel):
            seat, worker = self._found(queue, _Waiting(warn), cancel)
            try:
                yield worker
            except WorkerLost:
                self._give_back(seat)
                raise
            except BaseException:
                self._leave(queue, seat)
                raise
            self._leave(queue, seat)

    def _found(
        self, queue: str, waiting: _Waiting, cancel: CancelToken
    ) -> tuple[_Seat, RemoteWorker]:
        while True:
            seat = self._seat(queue, waiting, cancel)
            try:
                return seat, self._worker(seat.node, cancel)
            except WorkerLost as lost:  # its node has died, and Ray does not know it yet
                self._give_back(seat)
                waiting.say(str(lost))
                cancel.wait(1.0)
            except BaseException:
                self._give_back(seat)
                raise

    def machines(self) -> list[Machine]:
        """Those that are in the cluster now.  Raises what `taken` raises."""
        token = CancelToken()
        with self._inside(token):
            return [
                Machine(
                    node["NodeID"],
                    node["NodeManagerHostname"],
                    node["NodeManagerAddress"],
                    node["Resources"],
                    self._pid(node["NodeID"]),
                )
                for node in self._nodes(token)
                if node["Alive"]
            ]

    def _nodes(self, cancel: CancelToken) -> list[dict[str, Any]]:
        import ray

        return self._ask(ray.nodes, cancel)

    def close(self) -> None:
        """See `ports.Workers.close`."""
        self._closed.set()
        with self._lock:
            joined, self._joined = self._joined, False
        if joined:
            _leave()  # what it holds in the cluster is given back with it

    # -- a place in the cluster ------------------------------------------------------------------

    def _seat(self, queue: str, waiting: _Waiting, cancel: CancelToken) -> _Seat:
        from ray.util import placement_group, placement_group_table

        with self._lock:
            kept = self._seats.get(queue, [])
            if kept:
                return kept.pop()
        bundle = dict(self.queues[queue])
        group = self._ask(lambda: placement_group([bundle]), cancel)
        try:
            while not self._ask(lambda: group.wait(LOOK), cancel):
                cancel.check()
                waiting.look(lambda: self._why(queue, bundle))
            about = self._ask(lambda: placement_group_table(group), cancel)
            node = about["bundles_to_node_id"][0]
        except BaseException:
            self._give_back(_Seat(group, "", 0.0))
            raise
        return _Seat(group, node, time.monotonic())

    def _why(self, queue: str, bundle: Mapping[str, float]) -> str:
        """Why there is no place."""
        takes = ", ".join(f"{amount:g} {name}" for name, amount in bundle.items())
        having = [machine.name for machine in self.machines() if machine.offers(bundle)]
        if having:
            return f"waiting for {takes} (queue {queue}): all is taken on {', '.join(having)}"
        known = f"ray start --address={self._head()} --resources='...'"
        return f"waiting for {takes} (queue {queue}): no machine of the cluster has that; {known}"

    def _leave(self, queue: str, seat: _Seat) -> None:
        """Keep a place for the next step, for a moment."""
        now = time.monotonic()
        if self._closed.is_set() or now - seat.taken > LONGEST:
            self._give_back(seat)
            return
        seat.left = now
        with self._lock:
            self._seats.setdefault(queue, []).append(seat)

    def _tidy(self) -> None:
        """Give back what nobody took meanwhile, and leave when nobody is there any more."""
        now = time.monotonic()
        with self._lock:
            kept = self._seats
            old = [seat for seats in kept.values() for seat in seats if now - seat.left >= KEPT]
            self._seats = {q: [s for s in seats if s not in old] for q, seats in kept.items()}
        for seat in old:
            self._give_back(seat)
        with self._lock:
            if self._joined and not self._users and not any(self._seats.values()):
                self._joined = False
                _leave()

    def _give_back(self, seat: _Seat) -> None:
        from ray.util import remove_placement_group

        if not self._closed.is_set():
            with suppress(Exception):  # with the cluster gone, it is given back anyway
                _asked(lambda: remove_placement_group(seat.group), CancelToken(), REACHED)

    # -- the process on a machine ----------------------------------------------------------------

    def _worker(self, node: str, cancel: CancelToken) -> RemoteWorker:
        """The one of a node, started if there is none.

        Raises `WorkerLost` for one that does not come up, `MachineError` for one of another
        version, or that cannot work.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        where = self._name(node, cancel)
        link = _RayLink(where)

        def found() -> Any:
            return (
                ray.remote(Host)
                .options(
                    name=_actor_name(node),
                    namespace=NAMESPACE,
                    get_if_exists=True,
                    lifetime="detached",
                    max_concurrency=AT_A_TIME,
                    num_cpus=0,
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
                )
                .remote(self.open_workplace, alone=True)
            )

        try:
            link.actor = self._ask(found, cancel)
        except (ray.exceptions.RayError, ValueError) as error:
            raise WorkerLost(where, _first_line(error)) from None
        until = time.monotonic() + OPENED

        def look() -> None:
            cancel.check()
            if time.monotonic() > until:
                raise WorkerLost(where, "it does not start")

        try:
            about = link("about", look=look)
        except UserError as fault:
            said = f"the worker on {where} cannot work: {fault}"
            raise MachineError(said, hint=fault.hint) from None
        if about.version != agentkit.__version__:
            raise MachineError(
                f"agentkit is {about.version} on {where}, and {agentkit.__version__} here",
                hint="install the same version on all machines of the cluster",
            )
        link.machine = where
        return RemoteWorker(where, link)

    def _name(self, node: str, cancel: CancelToken) -> str:
        for known in self._nodes(cancel):
            if known["NodeID"] == node:
                host, address = known["NodeManagerHostname"], known["NodeManagerAddress"]
                return f"{host} ({address})"
        return node[:8]

    def _pid(self, node: str) -> int | None:
        import ray

        try:
            actor = ray.get_actor(_actor_name(node), namespace=NAMESPACE)
            return int(ray.get(actor.about.remote(), timeout=REACHED).pid)
        except (ValueError, ray.exceptions.RayError, AgentkitError):
            return None

    # -- the cluster -----------------------------------------------------------------------------

    def _ask(self, do: Callable[[], T], cancel: CancelToken) -> T:
        """What Ray says.  Raises `MachineError` for a cluster of which the head has gone.

        The next step joins anew: another head may be there by then.
        """
        try:
            return _asked(do, cancel)
        except _Silent:
            with self._lock:
                self._drop()
            raise MachineError(
                f"the cluster at {self._head()} does not answer any more",
                hint="is its head still up? ray status, and: agentkit cluster",
            ) from None

    def _drop(self) -> None:
        """Leave a head that has gone."""
        joined, self._joined = self._joined, False
        self._seats.clear()
        if joined:
            _leave()

    @contextmanager
    def _inside(self, cancel: CancelToken) -> Iterator[None]:
        """In the cluster while the block lasts, and for a moment after it.

        Nobody stays there for nothing: a process that is in when the head is replaced by another
        one does not survive it.
        """
        with self._lock:
            try:
                self._check_address()
            except MachineError:
                self._drop()
                raise
            if not self._joined:
                self._enter(cancel)
                self._joined = True
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
            timer = threading.Timer(KEPT + LOOK, self._tidy)
            timer.daemon = True
            timer.start()

    def _enter(self, cancel: CancelToken) -> None:
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
            _asked(lambda: _connect(self.address), cancel)
        except _Silent:
            raise _shut(self._head()) from None
        except Exception as error:
            if isinstance(error, AgentkitError):
                raise
            raise _explained(error, self._head()) from None

    def _check_address(self) -> None:
        if self.address == "auto":
            return
        host, port = self.address.rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), REACHED).close()
        except OSError as error:
            raise MachineError(
                f"no cluster at {self.address}: {error.strerror or error}",
                hint="start its head there: ray start --head --num-cpus=0 --port=...",
            ) from None

    def _head(self) -> str:
        return os.environ.get("RAY_ADDRESS", "auto") if self.address == "auto" else self.address


class _Silent(Exception):
    """Ray does not answer."""


def _asked(do: Callable[[], T], cancel: CancelToken, limit: float = JOINED) -> T:
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


class _Waiting:
    """Says why it takes long, once."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._since = time.monotonic()
        self._said = False

    def look(self, why: Callable[[], str]) -> None:
        """Say it, if it is time to."""
        if not self._said and time.monotonic() - self._since >= PATIENCE:
            self.say(why())

    def say(self, text: str) -> None:
        """Say it now."""
        if not self._said:
            self._said = True
            self._warn(text)


@dataclass
class _RayLink:
    """`worker.Link` to an actor."""

    machine: str
    actor: Any = None

    def __call__(self, method: str, *arguments: Any, look: Callable[[], None]) -> Any:
        """See `worker.Link`."""
        import ray

        try:
            reference = getattr(self.actor, method).remote(*arguments)
            while not ray.wait([reference], timeout=LOOK)[0]:
                look()
            return ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, AgentkitError):
                raise cause from None
            raise MachineError(f"the worker on {self.machine} broke: {cause!r}") from None
        except ray.exceptions.RuntimeEnvSetupError as error:
            raise MachineError(f"no worker on {self.machine}: {_first_line(error)}") from None
        except ray.exceptions.RayError as error:
            if "ModuleNotFoundError" in str(error) or "failed to import" in str(error):
                raise MachineError(
                    f"agentkit is not installed where Ray runs on {self.machine}",
                    hint="install it there beside Ray: pip install 'agentkit[cluster]'",
                ) from None
            raise WorkerLost(self.machine, _reason(error)) from None


def _actor_name(node: str) -> str:
    return f"worker-{agentkit.__version__}-{node}"


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

    with suppress(Exception):  # the head has gone before
        _asked(ray.shutdown, CancelToken(), REACHED)


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
            f"no cluster of Ray on this machine: {_first_line(error)}",
            hint="ray start --head --num-cpus=0, or cluster.address in settings",
        )
    if isinstance(error, ConnectionError):
        return _shut(head)
    return MachineError(f"the cluster at {head} cannot be joined: {_first_line(error)}")


def _reason(error: BaseException) -> str:
    """What Ray knows of a machine that does not answer, in a few words."""
    import ray

    known = (
        (ray.exceptions.ActorUnavailableError, "the connection broke off"),
        (ray.exceptions.ActorDiedError, "its process died"),
        (ray.exceptions.NodeDiedError, "the machine went away"),
    )
    return next((said for kind, said in known if isinstance(error, kind)), _first_line(error))


def _shut(head: str) -> MachineError:
    """Somebody listens there, and does not answer."""
    return MachineError(
        f"the cluster at {head} does not let this process in: is its token another one?",
        hint="export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=..., as on its head",
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300].rstrip(".")
