"""The in-process llama.cpp runtime: it hides llama_cpp and llguidance behind the ports.

A request is rendered (`template`, `dialects`), constrained (`grammar`) and handed to the one thread
that computes (`decoder`).  There the `scheduler` puts pieces of many requests into each batch, and
the store of `prefixes` sees to it that what prompts share is read once.  ARCHITECTURE.md has the
whole list of modules, in the order in which a request meets them.
"""

from agentkit.engine.chat import LlamaChatModel
from agentkit.engine.embed import LlamaEmbedder
from agentkit.engine.tokenizer import LlamaTokenizer
from agentkit.engine.weights import build_info

__all__ = ["LlamaChatModel", "LlamaEmbedder", "LlamaTokenizer", "build_info"]
