"""A declared flow as a picture, before any run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from nbflow.authoring.declarative import joins
from nbflow.authoring.declarative.model import Definition, StepDefinition
from nbflow.authoring.declarative.operators.functions import Function
from nbflow.authoring.declarative.yaml_text import write
from nbflow.values.identity import describe_code
from nbflow.views.graph import Details, Node, Picture, Section


def declared_picture(definition: Definition) -> Picture:
    """The steps with their dependencies. Steps of a group lie in one box, nested tasks in that of their step."""
    groups = {name: step.group for name, step in definition.steps.items() if step.group}
    boxes = _boxes(definition.steps, groups)
    nodes: list[Node] = []
    for name, step in definition.steps.items():
        box = boxes.get(name)
        if box is None:
            nodes.append(_node(step, boxes))
        elif not any(node.id == box for node in nodes):
            nodes.append(_group(box, definition.steps, boxes))
    ordered = _ordered(nodes)

    def details(identity: str) -> Details:
        step = definition.steps.get(identity)
        return _details(step) if step is not None else Details(identity.removeprefix("group "))

    return Picture(ordered, f"{definition.name} (as it is declared)", details=details)


def _boxes(steps: Mapping[str, StepDefinition], groups: Mapping[str, str]) -> dict[str, str]:
    """The box that each step of a group is in. A group that others lie between is drawn as single steps."""
    found: dict[str, str] = {}
    for group in dict.fromkeys(groups.values()):
        members = {name for name in groups if groups[name] == group}
        after = {name for name in steps if _comes_after(name, members, steps)} - members
        if not any(_comes_after(name, after, steps) for name in members):
            found |= dict.fromkeys(members, f"group {group}")
    return found


def _comes_after(name: str, others: set[str], steps: Mapping[str, StepDefinition]) -> bool:
    seen: set[str] = set()
    open_ = list(steps[name].depends_on)
    while open_:
        each = open_.pop()
        if each in others:
            return True
        if each not in seen:
            seen.add(each)
            open_ += steps[each].depends_on
    return False


def _node(step: StepDefinition, boxes: Mapping[str, str]) -> Node:
    upstream = dict.fromkeys(boxes.get(name, name) for name in step.depends_on)
    mine = boxes.get(step.name)
    inside_box = [name for name in step.depends_on if mine is not None and boxes.get(name) == mine]
    return Node(
        step.name,
        step.name,
        detail=_detail(step),
        hint=doc_of(step),
        upstream=tuple(inside_box) if mine is not None else tuple(upstream),
        inside=_nested(step.name, step.nested_tasks),
    )


def _group(box: str, steps: Mapping[str, StepDefinition], boxes: Mapping[str, str]) -> Node:
    members = [step for name, step in steps.items() if boxes.get(name) == box]
    upstream = dict.fromkeys(
        boxes.get(name, name) for step in members for name in step.depends_on if boxes.get(name) != box
    )
    inside = tuple(_node(step, boxes) for step in members)
    return Node(box, box.removeprefix("group "), upstream=tuple(upstream), inside=inside)


def _ordered(nodes: list[Node]) -> list[Node]:
    """Each node after those that it needs."""
    known = {node.id: node for node in nodes}
    found: dict[str, Node] = {}

    def visit(node: Node) -> None:
        if node.id in found:
            return
        for name in node.upstream:
            if name in known:
                visit(known[name])
        found[node.id] = node

    for node in nodes:
        visit(node)
    return list(found.values())


def _nested(path: str, tasks: Mapping[str, Any]) -> tuple[Node, ...]:
    """Tasks that are drawn inside of a step, and never run."""
    found = []
    for name, said in tasks.items():
        needs = said.get("depends_on") or ()
        needs = [needs] if isinstance(needs, str) else needs
        inner = said.get("nested_tasks") or {}
        inner = {key: {} for key in inner} if isinstance(inner, list) else inner
        here = f"{path}/{name}"
        hint = str(said.get("description") or said.get("function") or "")
        upstream = tuple(f"{path}/{each}" for each in needs)
        found.append(Node(here, name, hint=hint, upstream=upstream, inside=_nested(here, inner)))
    return tuple(found)


def _detail(step: StepDefinition) -> str:
    """What an edge cannot show: the outcomes that are waited for, and the rule that joins them."""
    wanted = [f"{name}: {' or '.join(outcomes)}" for name, outcomes in step.depends_on.items() if outcomes]
    rule = [step.join] if step.join != joins.DEFAULT else []
    return ", ".join([*rule, *wanted])


def doc_of(step: StepDefinition) -> str:
    """What a step says of itself."""
    if step.description:
        return step.description
    operator = step.operator
    if isinstance(operator, Function) and hasattr(operator, "target"):
        return inspect.getdoc(operator.target) or ""
    return ""


def code_of(step: StepDefinition) -> str:
    """What a step does as a text: the source of its function, or its settings."""
    operator = step.operator
    source = describe_code(operator.target) if isinstance(operator, Function) and hasattr(operator, "target") else ""
    return source or write({operator.kind: step.data()[operator.kind]})


def _details(step: StepDefinition) -> Details:
    facts = [("does", step.operator.kind), *((f"after {name}", " or ".join(outcomes) or "succeeded")
             for name, outcomes in step.depends_on.items())]  # fmt: skip
    if step.join != joins.DEFAULT:
        facts.append(("join", step.join))
    if step.labels:
        facts.append(("outcomes", ", ".join(step.labels)))
    sections = (Section("", doc_of(step), "doc"), Section("source", code_of(step), "code"))
    return Details(step.name, facts=tuple(facts), sections=tuple(each for each in sections if each.text))
