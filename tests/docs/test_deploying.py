"""What the page on deploying shows for copying is what the programs that read it take."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from nbflow.cli.commands import MODULES
from nbflow.cli.main import app

PAGE = (Path(__file__).parents[2] / "notebooks" / "about" / "deploying.md").read_text()


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def unit():
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read_string(block("systemd"))
    return parser


def is_command(words):
    """Whether nbflow has such a command, with such options."""
    help_ = CliRunner().invoke(app, [words[1], "--help"], env={"COLUMNS": "200"}).output
    return f"Usage: nbflow {words[1]}" in help_ and all(word in help_ for word in words if word.startswith("--"))


def test_the_unit_starts_nbflow_and_waits_until_it_is_ready():
    service = unit()["Service"]
    assert (service["Type"], service["KillMode"]) == ("notify", "mixed")
    assert is_command(shlex.split(service["ExecStart"]))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_the_unit(tmp_path):
    text = re.sub(r"ExecStart=\S+", f"ExecStart={shutil.which('true')}", block("systemd"))
    path = tmp_path / "nbflow.service"
    path.write_text(text.replace("User=nbflow", "User=root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    about = [line for line in done.stderr.splitlines() if "nbflow" in line]
    assert about == []


def test_the_compose_file_names_what_it_uses():
    found = yaml.safe_load(block("yaml"))
    assert set(found) == {"services", "volumes", "secrets"}
    service = found["services"]["nbflow"]
    assert is_command(service["command"])
    assert set(service["depends_on"]) <= set(found["services"])
    for each in found["services"].values():
        assert {volume.split(":")[0] for volume in each["volumes"]} <= set(found["volumes"])
        named = [secret if isinstance(secret, str) else secret["source"] for secret in each["secrets"]]
        assert set(named) <= set(found["secrets"])


def test_every_command_of_the_page_is_one():
    words = {line.split()[1] for line in re.findall(r"`(nbflow [a-z][^`]*)`", PAGE)}
    names = set(MODULES)
    assert words - names <= {"promote"}
