"""References to secrets in what triggers are told, looked up where they are used."""

from __future__ import annotations

from importlib import import_module

from nbflow.model.errors import ConfigError


def opened_reference(text: str) -> str:
    """What a text means: of `secret:NAME` the value of the secret, else the text itself. Raises ConfigError."""
    if not text.startswith("secret:"):
        return text
    try:
        references = import_module("nbflow.values.secrets.references")
    except ModuleNotFoundError:
        raise ConfigError(f"{text!r} cannot be looked up: this nbflow keeps no secrets.") from None
    return str(references.resolve(text.removeprefix("secret:")))
