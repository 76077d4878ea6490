"""What all artifact stores have in common: how blobs are called, how old they may be, and how their lack is told."""

from __future__ import annotations

import re
from typing import Any

from nbflow.model.errors import ArtifactMissingError

TEMPORARY = ".tmp-"
# A blob that is written again is marked as new when it is older, so that no sweeper takes it for unused. Half of GRACE:
# a task has the other half to tell the database that it uses it.
FRESH = 1800.0  # seconds
GRACE = 3600.0  # seconds for which a sweeper keeps what nothing refers to: its run may still go on

# What lies beside blobs, in a folder or bucket that has other uses too, is none of ours: a sweeper would remove it.
_OURS = re.compile(rf"[0-9a-f]{{2}}/(?:[0-9a-f]{{38}}(?:{re.escape(TEMPORARY)}\w+)?|{re.escape(TEMPORARY)}[\w-]+)")


def is_ours(name: str) -> bool:
    """Whether a file of this name, relative to its store, is a blob or what was left of one half written."""
    return _OURS.fullmatch(name) is not None


def bytes_of(parts: list[Any]) -> list[memoryview]:
    """Buffers as plain bytes, without copying them."""
    return [memoryview(part).cast("B") for part in parts]


def missing(name: str, where: str) -> ArtifactMissingError:
    """The error about a blob that is not there."""
    return ArtifactMissingError(
        f"artifact {name} is not in {where} any more. Resume the run to compute it again, or set the artifact store "
        "(NBFLOW_ARTIFACTS) to where it was written.",
        name=name,
    )
