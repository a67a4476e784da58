"""The link to a worker, over an actor of Ray.

What Ray's many errors mean for a step is told here: either the machine is lost, and another one may
do it, or something is wrong there that a person has to mend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agentkit.cluster.membership import LOOK, first_line
from agentkit.errors import AgentkitError, MachineError, WorkerLost


@dataclass
class RayLink:
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
            raise MachineError(f"no worker on {self.machine}: {first_line(error)}") from None
        except ray.exceptions.RayError as error:
            if "ModuleNotFoundError" in str(error) or "failed to import" in str(error):
                raise MachineError(
                    f"agentkit is not installed where Ray runs on {self.machine}",
                    hint="install it there beside Ray: pip install 'agentkit[cluster]'",
                ) from None
            raise WorkerLost(self.machine, _reason(error)) from None


def _reason(error: BaseException) -> str:
    """What Ray knows of a machine that does not answer, in a few words."""
    import ray

    known = (
        (ray.exceptions.ActorUnavailableError, "the connection broke off"),
        (ray.exceptions.ActorDiedError, "its process died"),
        (ray.exceptions.NodeDiedError, "the machine went away"),
    )
    return next((said for kind, said in known if isinstance(error, kind)), first_line(error))
