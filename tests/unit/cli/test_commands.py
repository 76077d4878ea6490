"""Commands by name: each is found in the module that adds it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from nbflow.cli.commands import MODULES, commands_of
from nbflow.cli.main import app


@pytest.mark.parametrize("module", sorted(set(MODULES.values())))
def test_each_module_adds_the_commands_that_are_looked_for_in_it(module):
    assert set(commands_of(module)) == {name for name, of in MODULES.items() if of == module}


def test_the_help_lists_all_commands_in_their_order():
    lines = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output.partition("Commands")[2].splitlines()
    first = [words[1] for line in lines if len(words := line.split()) > 2]
    assert [word for word in first if word in MODULES] == list(MODULES)


def test_a_name_that_is_nearly_a_command_is_answered_with_it():
    done = CliRunner().invoke(app, ["rsume"])
    assert done.exit_code == 2
    assert "resume" in done.output


def test_a_command_loads_none_of_the_others():
    code = "import sys; sys.argv = ['nbflow', 'why', '--help']\n"
    code += "from nbflow.cli.main import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print('LOADED', *(name for name in sys.modules if name.startswith('nbflow.cli.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.rpartition(".")[2] for name in done.stdout.partition("LOADED")[2].split()}
    assert loaded & set(MODULES.values()) == {"why"}
