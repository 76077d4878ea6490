"""Secrets among the parameters of a notebook: which of its cells set a name to `secret:NAME`."""

from __future__ import annotations

import ast
from typing import Any

from nbflow.values.secrets import references

Secrets = tuple[tuple[str, tuple[str, ...]], ...]
"""Names that a cell sets to references, or to containers of such, and the secrets that these name."""

TAGS = frozenset({"parameters", "injected-parameters"})


def secrets_of(tree: ast.Module) -> Secrets:
    """What a cell of parameters sets to secrets."""
    found: dict[str, tuple[str, ...]] = {}
    for statement in tree.body:
        targets: list[Any] = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
        value = getattr(statement, "value", None)
        if len(targets) != 1 or not isinstance(targets[0], ast.Name) or value is None:
            continue
        try:
            given = references.referring(ast.literal_eval(value))
        except (ValueError, TypeError, MemoryError, RecursionError):
            continue
        names = tuple(references.names_in(given))
        found.pop(targets[0].id, None)
        if names:
            found[targets[0].id] = names
    return tuple(found.items())


def overridden(secrets: Secrets, tree: ast.Module) -> Secrets:
    """Those of an earlier cell that a later one leaves."""
    targets = [target for statement in tree.body for target in getattr(statement, "targets", ())]
    later = {target.id for target in targets if isinstance(target, ast.Name)}
    return tuple(pair for pair in secrets if pair[0] not in later)
