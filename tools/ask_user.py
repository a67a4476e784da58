"""Ask the person for whom the work is done.

Where nobody is there, the run waits until the question is answered (`agentkit approvals list`).
"""

from __future__ import annotations

from collections.abc import Sequence

from agentkit import ToolContext, tool
from agentkit.errors import ToolRetry


@tool
def ask_user(question: str, choices: Sequence[str] = (), *, context: ToolContext) -> str:
    """Ask the user when only they can know or decide.

    Args:
        question: One question.
        choices: Possible answers, if there are only a few.
    """
    question = question.strip()
    options = list(dict.fromkeys(choice.strip() for choice in choices))
    if not question:
        raise ToolRetry("question is empty: write what you want to know")
    if len(options) == 1 or "" in options:
        raise ToolRetry("choices are two answers or more, none of them empty; or leave them out")
    return context.ask(question, options)
