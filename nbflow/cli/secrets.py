"""`nbflow secret`: where secrets are kept, and putting them there. No command prints a value."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from rich.text import Text

from nbflow.cli.output import Json, console, print_json, table
from nbflow.model.errors import SecretError
from nbflow.values.secrets import places
from nbflow.values.secrets.forms import SHORTEST
from nbflow.values.secrets.references import check_name

Name = Annotated[str, typer.Argument(metavar="NAME", help="As in secret:NAME.")]
Keyring = Annotated[bool, typer.Option("--keyring", help="In the system's keyring, not in the file.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(no_args_is_help=True, help="Secrets: what secret:NAME stands for, and where that is kept.")
    group.command("list")(list_)
    group.command("check")(check)
    group.command("set")(set_)
    group.command("remove")(remove)
    app.add_typer(group, name="secret")


def list_(as_json: Json = False) -> None:
    """List the secrets of the environment and of the file by name. A keyring does not tell what it holds."""
    prefix = places.VARIABLE
    found = [(key.removeprefix(prefix), f"environment variable {key}") for key in os.environ if key.startswith(prefix)]
    found += [(name, f"file {places.file()}") for name in places.in_file() or ()]
    if as_json:
        print_json([{"name": name, "place": place} for name, place in sorted(found)])
    elif found:
        console().print(table(("name", "place"), [[Text(name), Text(place)] for name, place in sorted(found)]))
    else:
        console().print("No secrets. Keep one: nbflow secret set NAME")


def check(name: Name, as_json: Json = False) -> None:
    """Tell where a secret is found, and that it can be used; exits with 2 if not."""
    places.find(check_name(name))
    found = places.look(name)[-1]
    if as_json:
        print_json({"name": name, "place": found.place, "characters": len(found.value or "")})
    else:
        console().print(Text(f"✓ {name} is in {found.place}."))


def set_(name: Name, keyring: Keyring = False) -> None:
    """Keep a secret: asks for its value, or reads it from standard input."""
    check_name(name)
    if sys.stdin.isatty():
        value = typer.prompt(f"Value of {name}", hide_input=True, confirmation_prompt=True)
    else:
        value = sys.stdin.read().removesuffix("\n")
    if len(value) < SHORTEST:
        raise SecretError(f"secret {name!r} needs a value of {SHORTEST} characters or more.", name=name)
    console().print(Text(f"Kept {name} in {_keep(name, value, keyring)}."))
    key = places.variable(name)
    if key in os.environ:
        console().print(Text(f"The environment variable {key} is set here and goes before it."))


def remove(name: Name, keyring: Keyring = False) -> None:
    """Take a secret out of the file or the keyring."""
    if not keyring and check_name(name) not in (places.in_file() or {}):
        raise SecretError(f"there is no secret {name!r} in {places.file()}.", name=name)
    console().print(Text(f"Removed {name} from {_keep(name, None, keyring)}."))


def _keep(name: str, value: str | None, keyring: bool) -> str:
    """Put a value in its place, or take it out if it is None; returns the place in words."""
    if keyring:
        places.keep_in_keyring(name, value)
        return "the keyring"
    return str(places.keep_in_file(name, value))
