"""What a file may say about how good an answer has to be, and how much thought may go into it:
`checks` and `strategy`, of a step and of an agent.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from agentkit.workflow.node import Node, problem

ANSWER, OUTPUTS, FILES = "answer", "outputs", "files"
"""What expressions of checks call what a model said, what a tool gave, what lies in the folder."""


class Check(Node):
    """What has to hold of the result of a step: exactly one of these."""

    schema_: dict[str, Any] | None = Field(None, alias="schema")
    """A JSON Schema: the result is data that fits it."""
    expression: str | None = None
    """Such as `"'Anna' in answer"` or `"'list.md' in files"`; without `${{ }}`."""
    reason: str | None = None
    """What is said, also to the model, if the expression is not true."""
    script: str | None = None
    """A bash script, run in the sandbox in the step's folder with the result on its standard input;
    it has to end with exit code 0.
    """
    question: str | None = None
    """A question to the model that has to be answered with yes."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Check:
        said = [
            name
            for name in ("schema", "expression", "script", "question")
            if getattr(self, "schema_" if name == "schema" else name) is not None
        ]
        if self.reason is not None and self.expression is None:
            raise problem(
                "bad-check",
                "a reason is for an expression: the other checks say by themselves what is wrong",
            )
        if len(said) != 1:
            raise problem(
                "bad-check",
                f"a check has exactly one of schema, expression, script and question, not "
                f"{' and '.join(said) or 'nothing'}",
            )
        return self


NUMBERS = {
    "chain_of_thought": (),
    "self_consistency": ("samples",),
    "tree_of_thought": ("proposals", "breadth", "depth"),
    "reflect": ("attempts",),
}
"""The strategies, and the numbers that each of them has."""


class Strategy(Node):
    """How a hard question is answered: the name alone, or with its numbers."""

    name: Literal["chain_of_thought", "self_consistency", "tree_of_thought", "reflect"]
    """`chain_of_thought` thinks in words before it answers, `self_consistency` takes a vote of
    several such chains, `tree_of_thought` explores the most promising steps, `reflect` answers
    again with what a failed check taught.
    """
    samples: int = Field(5, ge=2, le=32)
    """Chains that vote, of `self_consistency`."""
    proposals: int = Field(3, ge=1, le=16)
    """Next steps that are thought of at each point, of `tree_of_thought`."""
    breadth: int = Field(2, ge=1, le=16)
    """Paths that are followed, of `tree_of_thought`."""
    depth: int = Field(2, ge=1, le=8)
    """Steps of a path, of `tree_of_thought`."""
    attempts: int = Field(3, ge=2, le=16)
    """Answers at most, of `reflect`."""

    @model_validator(mode="after")
    def _has_its_own_numbers(self) -> Strategy:
        own = NUMBERS[self.name]
        for key in sorted(self.model_fields_set - {"name", *own}):
            has = f"it has {', '.join(own)}" if own else "it has no numbers"
            raise problem("misplaced-key", f'"{key}" means nothing to {self.name}: {has}')
        return self


def short_strategy(value: Any) -> Any:
    """`strategy: chain_of_thought` as the mapping that it stands for."""
    return {"name": value} if isinstance(value, str) else value
