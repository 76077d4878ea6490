"""The values of the project that this process works in."""

from __future__ import annotations

from nbflow.settings import Settings
from nbflow.values.artifacts import open_store
from nbflow.values.signing import Signer, load_key
from nbflow.values.store import ValueStore


def value_store(settings: Settings) -> ValueStore:
    """The values of this project."""
    return ValueStore(
        open_store(settings.artifacts),
        Signer(load_key(settings.home)),
        inline_limit=settings.inline_limit,
        max_size=settings.max_value_size,
        max_inputs_size=settings.max_inputs_size,
    )
