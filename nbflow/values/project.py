"""The values of the project that this process works in."""

from __future__ import annotations

from nbflow.settings import Settings
from nbflow.values.artifacts import open_store
from nbflow.values.signing import Signer, load_key
from nbflow.values.store import ValueStore


def value_store(settings: Settings, db: str | None = None) -> ValueStore:
    """The values that belong to a database (path or URL; default: the one of the settings)."""
    return ValueStore(
        open_store(settings.artifacts_of(db)),
        Signer(load_key(settings.home)),
        inline_limit=settings.inline_limit,
        max_size=settings.max_value_size,
        max_inputs_size=settings.max_inputs_size,
    )
