"""An agent: a list of tasks, worked through with tools."""
