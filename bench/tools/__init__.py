"""How well a model uses the shipped tools: which one, with what, and none where none is needed."""
