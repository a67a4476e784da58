"""The composition root: settings in, live objects out.  The only room that knows the adapters.

offers   how each kind of model would be loaded into the memory there is
bench    how fast a chat model is here
root     everything a face needs, opened when it is first asked for
"""

from agentkit.runtime.root import Runtime, Subscriber, new_run_id, workflow_schema

__all__ = ["Runtime", "Subscriber", "new_run_id", "workflow_schema"]
