"""How well a model uses the shipped tools: the right one, rightly, and none where none is needed."""
