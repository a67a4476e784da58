"""How families of models write tool calls: one module a family.

dialect   what a dialect offers, and what is common to all
hermes    Hermes, Qwen 2.5, Qwen 3
generic   models whose template knows nothing of tools
reader    an answer taken apart while it is written
formats   the forms of a call
scan      characters and markers, one by one
lark      grammars in the making
schemas   the arguments of a call, as strictly as can be
"""

from __future__ import annotations

from agentkit.engine.dialects.dialect import Dialect
from agentkit.engine.dialects.generic import Generic
from agentkit.engine.dialects.hermes import Hermes
from agentkit.engine.dialects.reader import AnswerReader
from agentkit.engine.vocabulary import Vocabulary

__all__ = ["AnswerReader", "Dialect", "choose"]


def choose(template_source: str | None, vocabulary: Vocabulary) -> Dialect:
    """The dialect of the model that this chat template belongs to."""
    source = template_source or ""
    if "<tool_call>" in source and '"arguments"' in source:
        return Hermes(source, vocabulary)
    return Generic(source, vocabulary)
