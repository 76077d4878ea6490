"""The commands by name, each imported when it is called: to import them all takes longer than most of them run."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any

import typer
from typer.core import TyperGroup

# In the order of `nbflow --help`: the modules here, and the commands that each of them adds.
_COMMANDS = {
    "run": ["run", "resume"],
    "show": ["runs", "show", "graph", "gantt"],
    "logs": ["logs"],
    "maintenance": ["doctor", "gc"],
    "queue_worker": ["worker"],
    "queue_up": ["up"],
    "queue": ["info", "purge", "queue"],
    "queue_jobs": ["jobs", "job", "cancel", "retry"],
    "schedules": ["scheduler", "schedules", "schedule"],
    "promote": [
        "promote", "deployments", "versions", "diff", "rollback", "pause", "keep", "trigger", "backfill", "undeploy",
        "next",
    ],
    "opening": ["open"],
    "listen": ["listen"],
    "triggers": ["event", "triggers"],
    "secrets": ["secret"],
    "environments": ["env"],
    "testing": ["test"],
    "why": ["why"],
    "lineage": ["lineage"],
    "report": ["report"],
    "alerts": ["alert"],
    "declarative": ["validate", "approve"],
}  # fmt: skip
MODULES = MappingProxyType({name: module for module, names in _COMMANDS.items() for name in names})


class Commands(TyperGroup):
    """The group of all commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order of the help."""
        return list(MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of a name; None if there is none, with all of them loaded, to suggest similar ones."""
        for module in [MODULES[cmd_name]] if cmd_name in MODULES else _COMMANDS:
            self.commands.update(commands_of(module))
        return self.commands.get(cmd_name)


@cache
def commands_of(module: str) -> dict[str, Any]:
    """What a module of this package adds to the command line, by name."""
    app = typer.Typer()
    import_module(f"nbflow.cli.{module}").add_to(app)
    return dict(typer.main.get_group(app).commands)
