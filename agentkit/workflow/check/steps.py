"""Lists of steps: what each may read, in which order they run, and what each of them says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentkit.errors import Problem, did_you_mean
from agentkit.workflow.check import answers, kinds, uses
from agentkit.workflow.check.around import Surroundings
from agentkit.workflow.check.prompts import Prompts
from agentkit.workflow.check.scripts import programs, scripts
from agentkit.workflow.check.shapes import shapes
from agentkit.workflow.check.text import condition, entries, fixed_text, items
from agentkit.workflow.expressions import is_expression
from agentkit.workflow.names import Names, Unready, View, mapping
from agentkit.workflow.plan import before, cycle, is_graph, order
from agentkit.workflow.quality import ANSWER, OUTPUTS
from agentkit.workflow.spec.foreign import KEYS
from agentkit.yamlfile import Document, NodePath

FIXED = ("id", "name", "uses", "needs", "on_error", "queue", "timeout", "retry")
"""Keys of a step in which an expression makes no sense."""

OTHERS = ("checks", "agent", "prompt", "run", "with", "env", "steps", "foreach", "approve")
"""Keys of which the expressions are looked at one by one."""


@dataclass(frozen=True)
class Steps:
    """Checks the steps of one file."""

    document: Document
    around: Surroundings
    names: Names
    data: Mapping[str, Any]
    prompts: Prompts

    def block(self, path: NodePath, steps: list[Any], view: View) -> Iterator[Problem]:
        """A list of steps; `view` is what all of them can read."""
        named = [(_id(step), _needs(step)) for step in steps]
        yield from self._needs(path, steps)
        ids = [(name, needs) for name, needs in named if name]
        needs = order(list(dict(ids).items()))
        known = shapes(steps, self.around)
        ring = cycle(needs)
        if ring:
            at = next(at for at, (name, _) in enumerate(named) if name == ring[0])
            said = " needs ".join(f'"{name}"' for name in ring)
            message = f"steps wait for each other: {said}"
            yield self.document.problem((*path, at, "needs"), "cycle", message)
        graph = is_graph(named)
        for at, step in enumerate(steps):
            if isinstance(step, dict):
                done = set(known) & before(needs, _id(step)) if _id(step) in needs else set()
                if not _id(step):  # it will have a name when its other faults are mended
                    done = {name for name, _ in named[:at] if name}
                seen = {name: known[name] for name in known if name in done and name != _id(step)}
                unready = _unready(_id(step), at, named, set(seen), graph, needs)
                here = replace(
                    view,
                    steps={**view.steps, **seen},
                    unready={**view.unready, **unready, **_inside(steps, set(known))},
                )
                yield from self._step((*path, at), step, here)

    def _needs(self, path: NodePath, steps: list[Any]) -> Iterator[Problem]:
        ids = [_id(step) for step in steps]
        for at, step in enumerate(steps):
            for index, name in enumerate(_needs(step) or ()):
                where = (*path, at, "needs")
                where = (*where, index) if isinstance(step["needs"], list) else where
                if name == _id(step):
                    yield self.document.problem(where, "cycle", f'step "{name}" needs itself')
                elif name not in ids:
                    near = did_you_mean(name, [one for one in ids if one]).strip()
                    there = ", ".join(one for one in ids if one and one != _id(step)) or "none"
                    message = f'there is no step "{name}" in this list'
                    hint = near or f"there is: {there}"
                    yield self.document.problem(where, "unknown-step", message, hint)

    # -- one step --------------------------------------------------------------------------------

    def _step(self, path: NodePath, step: dict[str, Any], view: View) -> Iterator[Problem]:
        document, names = self.document, self.names
        loop = mapping(step.get("foreach"))
        inner = _in_loop(step, loop, view)
        if loop:
            yield from fixed_text(document, (*path, "foreach", "as"), loop.get("as"))
            yield from names.check((*path, "foreach", "items"), loop.get("items"), view)
            yield from names.check((*path, "foreach", "key"), loop.get("key"), inner)
        yield from items(document, (*path, "foreach", "items"), loop)
        yield from kinds.items(document, (*path, "foreach", "items"), loop, view)
        for key, value in step.items():
            if key in FIXED:
                yield from fixed_text(document, (*path, key), value)
            elif key not in OTHERS or isinstance(value, str):
                yield from names.check((*path, key), value, inner)
        yield from condition(document, (*path, "if"), step)
        may_read_secrets = replace(inner, secrets=self._secrets)
        if isinstance(step.get("env"), dict):
            yield from names.check((*path, "env"), step["env"], may_read_secrets)
        if isinstance(step.get("with"), dict):
            for argument, value in step["with"].items():
                instead = uses.leaks(self.around, step, argument)
                here = replace(inner, instead=instead) if instead else may_read_secrets
                yield from names.check((*path, "with", argument), value, here)
        yield from uses.used(document, self.around, path, step)
        yield from answers.schema(document, (*path, "output_schema"), step.get("output_schema"))
        yield from scripts(document, names, (*path, "run"), step.get("run"), inner)
        yield from programs(document, path, step, inner)
        yield from kinds.arguments(document, self.around, path, step, inner)
        yield from self._queue(path, step)
        yield from self._prompt((*path, "prompt"), step, inner)
        yield from self._agent((*path, "agent"), step, inner)
        approve = mapping(step.get("approve"))
        yield from names.check((*path, "approve", "text"), approve.get("text"), inner)
        word = OUTPUTS if "uses" in step or "run" in step else ANSWER
        if step.get("agent") is None:
            where = (*path, "checks")
            yield from answers.checks(document, names, where, step.get("checks"), inner, word)
        if isinstance(step.get("steps"), list):
            yield from self.block((*path, "steps"), step["steps"], inner)

    def _prompt(self, path: NodePath, step: dict[str, Any], view: View) -> Iterator[Problem]:
        if step.get("prompt") is None:
            return
        prompt = mapping(step["prompt"])
        yield from fixed_text(self.document, (*path, "stop"), prompt.get("stop"))
        for key, value in prompt.items():
            if key not in ("stop", "tools", "file"):
                yield from self.names.check((*path, key), value, view)
        yield from self.prompts.check((*path, "file"), prompt.get("file"), view)
        shared = mapping(mapping(self.data.get("defaults")).get("prompt"))
        for key in ("system", "model"):
            if prompt.get(key) is None:
                where = ("defaults", "prompt", key)
                yield from self.names.check(where, shared.get(key), view)
        yield from uses.model(self.document, self.around, (*path, "model"), prompt.get("model"))
        model = prompt.get("model") or shared.get("model")
        images = (*path, "images")
        yield from uses.pictures(self.document, self.around, images, prompt.get("images"), model)
        yield from uses.offered(self.document, self.around, (*path, "tools"), prompt.get("tools"))
        yield from answers.examples(self.document, (*path, "examples"), step)

    def _agent(self, path: NodePath, step: dict[str, Any], view: View) -> Iterator[Problem]:
        if step.get("agent") is None:
            return
        agent = mapping(step["agent"])
        for key in ("objective", "model"):
            yield from self.names.check((*path, key), agent.get(key), view)
        yield from uses.model(self.document, self.around, (*path, "model"), agent.get("model"))
        yield from uses.offered(self.document, self.around, (*path, "tools"), agent.get("tools"))
        where = (*path, "checks")
        said = agent.get("checks")
        yield from answers.checks(self.document, self.names, where, said, view, ANSWER)

    def _queue(self, path: NodePath, step: dict[str, Any]) -> Iterator[Problem]:
        name = step.get("queue")
        if isinstance(name, str) and not is_expression(name) and name not in self.around.queues:
            there = ", ".join(sorted(self.around.queues)) or "none"
            hint = did_you_mean(name, self.around.queues).strip()
            hint = hint or f"settings have: {there}; one more is a line under `queues`"
            message = f'there is no queue "{name}"'
            yield self.document.problem((*path, "queue"), "unknown-queue", message, hint)

    @property
    def _secrets(self) -> tuple[str, ...]:
        return tuple(name for name in entries(self.data.get("secrets")) if isinstance(name, str))


def _id(step: Any) -> str:
    name = step.get("id") if isinstance(step, dict) else None
    return name if isinstance(name, str) else ""


def _needs(step: Any) -> tuple[str, ...] | None:
    said = step.get("needs") if isinstance(step, dict) else None
    if isinstance(said, str):
        return (said,)
    return tuple(one for one in said if isinstance(one, str)) if isinstance(said, list) else None


def _unready(
    name: str,
    at: int,
    named: list[tuple[str, tuple[str, ...] | None]],
    seen: set[str],
    graph: bool,
    needs: Mapping[str, tuple[str, ...]],
) -> dict[str, Unready]:
    """Why the other steps of the list cannot be read by this one."""
    found: dict[str, Unready] = {}
    for position, (other, _) in enumerate(named):
        if not other or other in seen:
            continue
        if other == name and position == at:
            found[other] = Unready("is this one: it has no outputs yet")
        elif not graph or (other in needs and name in before(needs, other)):
            found.setdefault(other, Unready("comes later: it has no outputs yet"))
        else:
            hint = 'add it to "needs" of this step'
            found.setdefault(other, Unready("may not be done by then", hint))
    return found


def _inside(steps: list[Any], beside: set[str]) -> dict[str, Unready]:
    """Steps within the groups of a list, which only their group can read by their own name."""
    found: dict[str, Unready] = {}
    for step in steps:
        group = mapping(step).get("steps")
        for name in _all_ids(group):
            if name not in beside:
                hint = f'did you mean "steps.{_id(step)}.outputs.{name}"?'
                found[name] = Unready(f'is inside the group "{_id(step)}"', hint)
    return found


def _all_ids(steps: Any) -> Iterator[str]:
    for step in entries(steps):
        if _id(step):
            yield _id(step)
        yield from _all_ids(mapping(step).get("steps"))


def _in_loop(step: dict[str, Any], loop: Mapping[str, Any], view: View) -> View:
    """What the step itself reads, with the variable of its loop."""
    meant = any(KEYS.get(key) == "foreach" or key == "items" for key in step)
    if not loop and not ("foreach" not in step and meant):  # what is wrong then is the key
        return view
    variable = loop.get("as", "item")
    variable = variable if isinstance(variable, str) else "item"
    return replace(view, variables=(*view.variables, variable))


def duplicate_ids(document: Document, lists: Mapping[NodePath, Any]) -> Iterator[Problem]:
    """Steps of one name, anywhere in the file: checkpoints are found by it."""
    seen: dict[str, NodePath] = {}
    for path, steps in lists.items():
        for where, name in _ids(path, steps):
            if name in seen:
                line = document.place((*seen[name], "id")).line + 1
                message = f'there is a step "{name}" already, in line {line}'
                yield document.problem((*where, "id"), "duplicate-id", message)
            else:
                seen[name] = where


def _ids(path: NodePath, steps: Any) -> Iterator[tuple[NodePath, str]]:
    for at, step in enumerate(entries(steps)):
        if _id(step):
            yield (*path, at), _id(step)
        yield from _ids((*path, at, "steps"), mapping(step).get("steps"))
