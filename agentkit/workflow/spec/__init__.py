"""What a workflow file may say: pydantic models, the source of loader, checker and JSON Schema.

This package knows the words and which of them go together.  Whether names exist and expressions
make sense is the business of `check`; what happens when is that of `run`.

names        what may be called what
foreign      words of other tools, for "did you mean"
inputs       what goes in and comes out
prompts      questions to a model
triggers     what starts it by itself
steps        one entry of `steps`
workflow     the file as a whole
json_schema  all of it for editors
"""

from agentkit.workflow.spec.inputs import Input, Output
from agentkit.workflow.spec.prompts import SAMPLING, Example, Prompt, PromptDefaults
from agentkit.workflow.spec.steps import Approve, Cache, Foreach, Retry, Script, Step
from agentkit.workflow.spec.triggers import Trigger
from agentkit.workflow.spec.workflow import Concurrency, Workflow

__all__ = [
    "SAMPLING", "Approve", "Cache", "Concurrency", "Example", "Foreach", "Input", "Output",
    "Prompt", "PromptDefaults", "Retry", "Script", "Step", "Trigger", "Workflow",
]  # fmt: skip
