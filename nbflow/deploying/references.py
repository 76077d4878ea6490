"""References to secrets in what triggers and reports are told, looked up where they are used."""

from __future__ import annotations

from nbflow.values.secrets import references


def opened_reference(text: str) -> str:
    """What a text means: of `secret:NAME` the value of the secret, else the text itself. Raises SecretMissingError."""
    if not text.startswith(references.PREFIX):
        return text
    return str(references.resolve(references.check_name(text.removeprefix(references.PREFIX))))
