"""Everything a face needs, opened or loaded when it is first asked for.

Use a `Runtime` as a context manager, or call `close`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from agentkit.cancel import CancelToken
from agentkit.compute import Compute
from agentkit.config import Settings
from agentkit.letters import LetterKind
from agentkit.outcomes import Outcome
from agentkit.permissions import Profile
from agentkit.pool import Pool
from agentkit.ports import ChatModel, Desk, Embedder, Scorer, Tokenizer, Transcriber
from agentkit.records import RunRecord
from agentkit.runtime import permits
from agentkit.runtime.agents import Wish, given
from agentkit.runtime.lent import Lent
from agentkit.runtime.library import Library, drawn
from agentkit.runtime.models import Models
from agentkit.runtime.offers import Notice, room_now
from agentkit.runtime.part import part
from agentkit.runtime.publishing import Subscriber, publisher
from agentkit.runtime.runs import Runs, new_run_id
from agentkit.runtime.terms import How
from agentkit.runtime.tools import Tools
from agentkit.runtime.trust import TrustedFolders
from agentkit.toolbox import Toolbox
from agentkit.toolbox.approvals import Approvals, Approver, nobody
from agentkit.toolbox.caller import Caller
from agentkit.toolbox.grants import Narrowing

if TYPE_CHECKING:
    from agentkit.cluster import RayWorkers
    from agentkit.journal import Journal
    from agentkit.models import ModelStore, Plan
    from agentkit.runtime.bench import Speed
    from agentkit.runtime.control import Control
    from agentkit.runtime.memories import Memories
    from agentkit.runtime.retention import Retention
    from agentkit.workflow.load import LoadedWorkflow


def _silent(text: str) -> None:
    """For callers that do not want to know."""


class Runtime:
    """Store, journal, tools, models, workflows.

    `notice` is told what a person may want to know, such as the memory that a model will take.
    """

    def __init__(self, settings: Settings | None = None, *, notice: Notice = _silent) -> None:
        self.settings = settings or Settings.load()
        self.compute = Compute()
        engine = self.settings.engine
        self.pool = Pool(room_now, keep_alive=engine.keep_alive, most=engine.max_models)
        self._notice = notice
        self.trusted = TrustedFolders(self.settings.home / "trusted-tools")
        """The projects whose tools may be loaded."""
        self._models = Models(self.settings, lambda: self.store, self.pool, self.compute, notice)
        self._tools = Tools(self.settings, self.trusted)
        self.library = Library(self.settings, lambda: self.toolbox, self._models)
        """Workflows and agents."""

    # -- the parts -------------------------------------------------------------------------------

    def open(self) -> None:
        """Open what is otherwise opened when it is first asked for: threads then find one of each.

        Raises what the parts raise.
        """
        for one in (self.store, self.journal, self.toolbox, self.memories, self._lent):
            assert one is not None

    @part
    def store(self) -> ModelStore:
        """The models on this machine and the catalog of those that could be."""
        from agentkit.models import ModelStore, load_catalog

        catalog = load_catalog(self.settings.home / "catalog.yaml")
        return ModelStore(self.settings.models_folder, catalog)

    @part
    def journal(self) -> Journal:
        """The record of all runs."""
        from agentkit.journal import Journal

        return Journal(self.settings.journal or self.settings.journal_file, self.settings.lease)

    @part
    def memories(self) -> Memories:
        """What is remembered: collections by name."""
        from agentkit.runtime.memories import Memories

        return Memories(self.settings, lambda: self.store, self.embedder, self._notice)

    @part
    def toolbox(self) -> Toolbox:
        """All tools."""
        return self._tools.box()

    @part
    def workers(self) -> RayWorkers:
        """The machines of the cluster that settings name; joined when a step is to be done there.

        A worker of it is opened by the name of a function: its settings are those of its machine.
        """
        from agentkit.cluster import RayWorkers
        from agentkit.runtime.workplace import open_workplace

        cluster = self.settings.cluster
        takes = {name: queue.bundle for name, queue in cluster.queues.items()}
        return RayWorkers(cluster.address, takes, open_workplace)

    @part
    def _lent(self) -> Lent:
        return Lent(self.settings, self.transcriber, lambda: self.memories.collection())

    @property
    def _runs(self) -> Runs:
        return Runs(
            self.settings,
            self.journal,
            self.caller,
            self.chat,
            self.embedder,
            self._models.beginning,
            self.library,
            lambda: self.workers,
        )

    @property
    def _control(self) -> Control:
        from agentkit.runtime.control import Control

        return Control(self.journal)

    @property
    def _retention(self) -> Retention:
        from agentkit.runtime.retention import Retention

        return Retention(self.settings, self.journal)

    # -- models ----------------------------------------------------------------------------------

    def chat(self, name: str | None = None) -> ChatModel:
        """A chat model, here or on a remote; None: the one that settings map to the role.

        One on this machine is loaded when it is first used, and again if it had to go in between.
        Raises `UnknownName`, `ModelMissing`, `ModelDamaged`; its use `NotEnoughMemory`, too.
        """
        return self._models.chat(name)

    def full(self) -> frozenset[str]:
        """Chat models that would refuse a request now: too many wait for each already."""
        return self._models.full()

    def transcriber(self, name: str | None = None) -> Transcriber:
        """A transcriber, loaded when it is used; None: the one that settings map to the role."""
        return self._models.transcriber(name)

    def embedder(self, name: str | None = None) -> Embedder:
        """An embedder, loaded when it is used; None: the one that settings map to the role."""
        return self._models.embedder(name)

    def scorer(self, name: str | None = None) -> Scorer:
        """A chat model of this machine whose probabilities can be read.

        Raises what `chat` raises, and `UserError` for a remote.
        """
        return self._models.scorer(name)

    def tokenizer(self, name: str | None = None) -> Tokenizer:
        """The tokens of a chat model of this machine.  Raises what `scorer` raises."""
        return self._models.tokenizer(name)

    def sees(self, name: str | None = None) -> bool:
        """Whether a chat model may be shown pictures."""
        return self._models.sees(name)

    def plan(self, name: str) -> Plan:
        """How a chat model would be loaded now.  Raises what `Models.plan` raises."""
        return self._models.plan(name)

    def bench(self, name: str | None = None) -> Speed:
        """How fast a chat model of this machine is.  Raises what `Models.bench` raises."""
        return self._models.bench(name)

    def model_names(self) -> list[str]:
        """All models that can be named: of the store and of the remotes in settings."""
        return self._models.names()

    def engine_build(self) -> str:
        """What llama.cpp was built with: its instruction sets and accelerators.

        Raises `MachineError` if it is not installed or cannot be loaded.
        """
        from agentkit.engine import build_info

        return build_info()

    # -- tools -----------------------------------------------------------------------------------

    def untrusted_tools(self) -> Path | None:
        """A folder of tools here that is not loaded, because nobody said that it may be."""
        return self._tools.untrusted()

    def lend(self, functions: Sequence[Callable[..., Any]]) -> list[str]:
        """Functions of a program as tools; their names.  Raises what `Tools.lend` raises."""
        names = self._tools.lend(functions)
        self.toolbox.refresh()
        return names

    def sandbox_state(self) -> tuple[bool, str, str]:
        """Whether code can be kept apart here, in words, and the command that mends it."""
        if self.settings.sandbox == "none":
            return False, "off: code runs with your rights", "take `sandbox: none` out of settings"
        from agentkit.sandbox import availability

        found = availability()
        return found.works, found.reason or "code runs in bubblewrap", found.hint

    def caller(
        self,
        run: str,
        *,
        profile: Profile = "interactive",
        approver: Approver = nobody,
        asker: str = "",
        handed: Iterable[Path] = (),
        narrowings: Iterable[Narrowing] = (),
        work: Path | None = None,
        here: Path | None = None,
        hide: Callable[[Any], Any] = lambda value: value,
        desk: Desk | None = None,
    ) -> Caller:
        """Makes the tool calls of one run, within what its profile grants.

        It works in its own folder, or in `work`.  Questions to a person are asked in the name of
        the run, or of an `asker`, without what `hide` takes out of them; they lie on a `desk`, or
        in the journal.
        """
        own = self.settings.runs_folder / run
        folder = own if work is None else work.resolve()
        handed = [*handed, own]
        return Caller(
            self.toolbox,
            permits.grants(
                self.settings, profile, folder, handed=handed, narrowings=narrowings, here=here
            ),
            Approvals(desk or self.journal.desk, approver, asker or run, hide=hide),
            self._lent,
            folder,
            home=own,
        )

    def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        profile: Profile = "interactive",
        approver: Approver = nobody,
        asker: str = "",
        cancel: CancelToken | None = None,
        subscribers: tuple[Subscriber, ...] = (),
    ) -> tuple[str, Outcome]:
        """Call one tool; the id of its run, and what came of it.

        `asker` names who calls again and again: an approval that one call asked for counts for the
        next same call.  Raises `Cancelled`.
        """
        from agentkit.runtime.one_call import one_call

        self.toolbox.refresh()
        run = new_run_id()
        caller = self.caller(run, profile=profile, approver=approver, asker=asker)
        publish = publisher(self.journal, self._runs.spill, subscribers)
        return run, one_call(name, arguments, caller, run, publish, cancel or CancelToken())

    # -- workflows and agents --------------------------------------------------------------------

    def workflow_names(self) -> list[str]:
        """The workflows that can be run by name."""
        return self.library.names()

    def workflow(self, name: str) -> LoadedWorkflow:
        """A checked workflow, by path or name.  Raises `UnknownName` or `InvalidFile`."""
        return self.library.find(name)

    def draw(self, name: str, *, mermaid: bool) -> str:
        """A picture of a workflow.  Raises what `workflow` raises."""
        return drawn(self.workflow(name), mermaid=mermaid)

    def agent(self, wish: Wish) -> LoadedWorkflow:
        """An agent as a person wishes it, as a workflow.  Raises what `Library.wished` raises."""
        return self.library.wished(wish)

    # -- runs ------------------------------------------------------------------------------------

    def pursue(
        self, agent: LoadedWorkflow, objective: str, folder: Path | None, **how: Unpack[How]
    ) -> dict[str, Any]:
        """Let an agent work towards an objective, in a folder of a person's or in one of its own.

        Raises what `run` raises.
        """
        how["work"] = folder
        return self.run(agent, given(objective, folder), **how)

    def run(
        self,
        workflow: LoadedWorkflow,
        given: Mapping[str, Any],
        id: str | None = None,
        **how: Unpack[How],
    ) -> dict[str, Any]:
        """Run a workflow to its end and return its outputs.

        The journal hears each event first, then the subscribers.  Raises `InvalidInput` or
        `ModelMissing` before anything starts, `StepFailed`, `ApprovalNeeded` (the run is parked) or
        `Cancelled` afterwards.
        """
        from agentkit.workflow.inputs import bind

        inputs = bind(workflow.spec, given, how.get("here"))
        self.library.check_models(workflow)
        return self._runs.execute(workflow, inputs, id or new_run_id(), how)

    def rehearse(self, workflow: LoadedWorkflow, given: Mapping[str, Any]) -> Iterator[str]:
        """What a run would do, line by line.  Raises `InvalidInput`."""
        from agentkit.workflow.inputs import bind
        from agentkit.workflow.rehearsal import rehearsal

        return rehearsal(workflow, bind(workflow.spec, given), self._models.beginning)

    def resume(
        self, name: str, given: Mapping[str, str] | None = None, **how: Unpack[How]
    ) -> dict[str, Any]:
        """Go on with a run that was parked, failed or cancelled, or whose process died.

        The workflow is the one that the run began with, and what is finished is not done again.
        `given` are the inputs that are secret: no record has them.  Returns its outputs.  Raises
        what `run` raises, and `UserError` for a run that cannot be resumed.
        """
        return self._runs.resume(name, given, how)

    def retry(
        self,
        name: str,
        step: str | None = None,
        edited: bool = False,
        given: Mapping[str, str] | None = None,
        *,
        failed: bool = False,
        **how: Unpack[How],
    ) -> dict[str, Any]:
        """Do what failed in a run again, or a step and all that follow it.

        `failed`: also what failed and was let pass.  `edited`: with the workflow as its file says
        now; what changed in it is done again, too.  Why is told by `events.RunResumed`.  Raises
        what `resume` raises.
        """
        return self._runs.retry(name, step, given, how, edited=edited, failed=failed)

    def cancel(self, run: str) -> None:
        """End a run, in whichever process it is.  Raises `UserError` for one that is over."""
        self._control.cancel(run)

    def wakes(self) -> list[tuple[str, datetime]]:
        """When which parked run wants to go on by itself: see `Control.wakes`."""
        return self._control.wakes()

    def remove(self, run: str) -> None:
        """Forget a run and remove what it made.  Raises `UserError` for one that is at work."""
        self._retention.remove(run)

    def old_runs(self, age: float, keep: int) -> list[RunRecord]:
        """Runs that ended so many seconds ago, but for the newest of each workflow."""
        return self._retention.old(age, keep)

    def prune(self, runs: Sequence[str], age: float) -> tuple[int, int]:
        """Remove runs, and results of that age; how many runs, and the bytes that it freed."""
        return self._retention.prune(runs, age)

    def post(self, run: str, kind: LetterKind, text: str = "") -> None:
        """Say something to a run that is at work.  Raises `UserError` for one that is over."""
        self._control.post(run, kind, text)

    def tasks(self, run: str) -> list[tuple[str, str, str]]:
        """Id, status and text of all tasks of the agents of a run."""
        return self._control.tasks(run)

    # -- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """End what is running, unload models, close the journal.  Idempotent."""
        self.pool.close()
        self._tools.close()
        self._models.close()
        if "workers" in self.__dict__:
            self.workers.close()
        if "memories" in self.__dict__:
            self.memories.close()
        if "journal" in self.__dict__:
            self.journal.close()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
