"""The in-process llama.cpp runtime: it hides llama_cpp and llguidance behind the `ChatModel` port.

weights      a GGUF file in memory
vocabulary   text to tokens and back
context      the KV cache and what it holds
template     messages to prompt tokens
grammar      a JSON Schema as a mask over the next token
sampling     which token comes next
text         bytes to text that may be shown
answer       one request, from its prompt to its last token
chat         the adapter that puts them together
"""

from agentkit.engine.chat import LlamaChatModel
from agentkit.engine.weights import build_info

__all__ = ["LlamaChatModel", "build_info"]
