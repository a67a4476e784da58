"""The machines of a cluster: who may use them now, and one process on each that does the work.

A step takes its place in the cluster as a placement group of one bundle, so that Ray counts, lets
wait and chooses the machine.  The process there is an actor with a name, the same for all that ask
for it: models are loaded once on a machine, whoever uses them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import agentkit
from agentkit.cancel import CancelToken
from agentkit.cluster.host import Host, Workplace
from agentkit.cluster.link import RayLink
from agentkit.cluster.membership import LOOK, NAMESPACE, REACHED, Membership, first_line, let_go
from agentkit.cluster.worker import RemoteWorker
from agentkit.errors import AgentkitError, MachineError, UserError, WorkerLost

OPENED = 60.0
"""Seconds in which a worker starts and says what it is: it may have to import much."""

PATIENCE = 5.0
"""Seconds of waiting after which it is said."""

KEPT = 2.0
"""Seconds that a place is kept for the next step of its queue: Ray takes up to one to free it."""

LONGEST = 30.0
"""Seconds after which it is given back all the same, so that others have their turn."""

AT_A_TIME = 64
"""Questions that a worker answers at the same time."""


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
    _closed: threading.Event = field(default_factory=threading.Event)
    _cluster: Membership = field(init=False)

    def __post_init__(self) -> None:
        self._cluster = Membership(self.address, self._lock, self._forget)

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

        return self._cluster.ask(ray.nodes, cancel)

    def close(self) -> None:
        """See `ports.Workers.close`."""
        self._closed.set()
        self._cluster.end()

    @contextmanager
    def _inside(self, cancel: CancelToken) -> Iterator[None]:
        """In the cluster while the block lasts, and for a moment after it."""
        self._cluster.enter(cancel)
        try:
            yield
        finally:
            self._cluster.exit()
            timer = threading.Timer(KEPT + LOOK, self._tidy)
            timer.daemon = True
            timer.start()

    # -- a place in the cluster ------------------------------------------------------------------

    def _seat(self, queue: str, waiting: _Waiting, cancel: CancelToken) -> _Seat:
        from ray.util import placement_group, placement_group_table

        with self._lock:
            kept = self._seats.get(queue, [])
            if kept:
                return kept.pop()
        bundle = dict(self.queues[queue])
        group = self._cluster.ask(lambda: placement_group([bundle]), cancel)
        try:
            while not self._cluster.ask(lambda: group.wait(LOOK), cancel):
                cancel.check()
                waiting.look(lambda: self._why(queue, bundle))
            about = self._cluster.ask(lambda: placement_group_table(group), cancel)
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
        known = f"ray start --address={self._cluster.head} --resources='...'"
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
        self._cluster.leave_if(lambda: not any(self._seats.values()))

    def _forget(self) -> None:
        """The places went with the head of the cluster."""
        self._seats.clear()

    def _give_back(self, seat: _Seat) -> None:
        from ray.util import remove_placement_group

        if not self._closed.is_set():
            let_go(lambda: remove_placement_group(seat.group))

    # -- the process on a machine ----------------------------------------------------------------

    def _worker(self, node: str, cancel: CancelToken) -> RemoteWorker:
        """The one of a node, started if there is none.

        Raises `WorkerLost` for one that does not come up, `MachineError` for one of another
        version, or that cannot work.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        where = self._name(node, cancel)
        link = RayLink(where)

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
            link.actor = self._cluster.ask(found, cancel)
        except (ray.exceptions.RayError, ValueError) as error:
            raise WorkerLost(where, first_line(error)) from None
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


def _actor_name(node: str) -> str:
    return f"worker-{agentkit.__version__}-{node}"
