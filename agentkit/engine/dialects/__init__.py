"""How families of models write tool calls: one module a family.

dialect   what a dialect offers, and what is common to all
hermes    Hermes, Qwen 2.5, Qwen 3
llama3    Llama 3.1 and later
mistral   Mistral
gemma     Gemma 2 and 3
generic   models whose template knows nothing of tools
reader    an answer taken apart while it is written
formats   the forms of a call
scan      characters and markers, one by one
lark      grammars in the making
schemas   the arguments of a call, as strictly as can be
"""

from __future__ import annotations

from agentkit.engine.dialects.dialect import Dialect
from agentkit.engine.dialects.gemma import Gemma
from agentkit.engine.dialects.generic import Generic
from agentkit.engine.dialects.hermes import Hermes
from agentkit.engine.dialects.llama3 import Llama3
from agentkit.engine.dialects.mistral import Mistral
from agentkit.engine.dialects.reader import AnswerReader
from agentkit.engine.dialects.schemas import told
from agentkit.engine.vocabulary import Vocabulary

__all__ = ["AnswerReader", "Dialect", "choose", "told"]


def choose(template_source: str | None, vocabulary: Vocabulary) -> Dialect:
    """The dialect of the model that this chat template belongs to.

    A template that writes calls in a form not known here (XML within `<tool_call>`, say) is treated
    like one that knows nothing of tools.
    """
    source = template_source or ""
    if "<tool_call>" in source and '"arguments"' in source.replace("\\", ""):
        return Hermes(source, vocabulary)
    if "[TOOL_CALLS]" in source:
        return Mistral(source, vocabulary)
    if "<|start_header_id|>" in source and '"parameters"' in source:
        return Llama3(source, vocabulary)
    if "<start_of_turn>" in source:
        return Gemma(source, vocabulary)
    return Generic(source, vocabulary)
