"""A scheduler with the clock of the machine, as a process that can be killed.

python -m tests.schedule.looking
"""

from __future__ import annotations

import signal

from agentkit.runtime import Runtime, Scheduling


def main() -> None:
    with Runtime() as runtime:
        for run in runtime.journal.runs(status="running", limit=1000):
            if not runtime.journal.leases.held(run.id):
                runtime.resume(run.id)
        scheduling = Scheduling(runtime, runtime.run)
        scheduling.start()
        print("looking", flush=True)
        signal.sigwait([signal.SIGTERM])
        scheduling.stop()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    main()
