"""Folders of sentence-transformers as an `Embedder`.

sentences  the port: tokens are counted before anything is computed, texts go in batches
folder     what a folder says of itself: how long a text may be, how vectors are made
bert       a few short texts without torch, which takes eight seconds to import
"""

from agentkit.embedding.sentences import SentenceTransformersEmbedder

__all__ = ["SentenceTransformersEmbedder"]
