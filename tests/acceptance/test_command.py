"""The commands as a user types them: what they print, what they leave, how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import nbformat
import pytest

from tests.servers import wait_until

FLOWS = '''
import os, time
from nbflow import flow, step

@step
def load(url):
    print("loading", url)
    return 10

@step
def train(data, rate):
    if os.path.exists("broken") and rate == 2:
        raise ValueError("rate [red]2[/red] is \\x1b[31mbad")
    return data * rate

@step
def best(models):
    return max(models)

@flow
def inner(data):
    return best([train(data, rate) for rate in range(2)])

@flow
def training(url: str, count: int = 3):
    """Trains."""
    data = load(url)
    return best([inner(data)] + [train(data, rate) for rate in range(count)])

@step
def fails(number):
    raise ValueError(number)

@flow
def careless():
    ignored = [fails(number) for number in range(3)]
    return object()

@step
def nap(number):
    open("started", "w").close()
    time.sleep(30 if os.path.exists("slow") else 0)
    return number

@flow
def napping():
    return nap(1)
'''


@pytest.fixture
def flows(project):
    project.write("flows.py", FLOWS)
    return project


@pytest.fixture
def ran(flows):
    flows.run("run", "flows:training", "-p", "url=x")
    return flows


@pytest.fixture
def failed(flows):
    flows.write("broken", "")
    flows.run("run", "flows:training", "-p", "url=x")
    return flows


def test_run_tells_steps_result_and_id(flows):
    done = flows.run("run", "flows.py:training", "-p", "url=x")
    assert done.returncode == 0
    assert "✓ train  5/5" in done.stdout
    assert "✓ succeeded run " in done.stdout
    assert "result: 20" in done.stdout


def test_run_prints_nothing_but_json_for_scripts(flows):
    told = flows.json("run", "flows:training", "-p", "url=x", "--tag", "nightly")
    assert told["state"] == "succeeded"
    assert told["result"] == 20
    assert told["tasks"] == {"succeeded": 9}
    assert flows.json("runs")[0]["tags"] == ["nightly"]


def test_a_failure_ends_with_one_and_the_way_out(failed):
    done = failed.run("run", "flows:training", "-p", "url=x")
    assert done.returncode == 1
    assert 'raise ValueError("rate [red]2[/red]' in done.stdout
    assert "nbflow resume " in done.stdout
    assert "nbflow/engine" not in done.stdout
    assert "\x1b" not in done.stdout


def test_resume_goes_on_and_tells_what_it_kept(failed):
    (failed.folder / "broken").unlink()
    done = failed.run("resume", "last")
    assert done.returncode == 0
    assert "✓ load  kept" in done.stdout
    assert "✓ train  3/3, 2 kept" in done.stdout


def test_resume_asks_for_code_that_has_moved_and_takes_it(failed):
    (failed.folder / "broken").unlink()
    (failed.folder / "flows.py").rename(failed.folder / "moved.py")
    lost = failed.run("resume", "last")
    assert (lost.returncode, "--flow" in lost.stderr) == (2, True)
    assert failed.run("resume", "last", "--flow", "moved.py:training").returncode == 0


def test_resume_finds_the_code_from_another_folder(failed):
    (failed.folder / "broken").unlink()
    elsewhere = failed.folder / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "nbflow", "resume", "last"], cwd=elsewhere, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_flow_of_a_file_in_a_folder_is_found_again_with_its_present_code(project):
    (project.folder / "jobs").mkdir()
    project.write("jobs/flows.py", FLOWS)
    project.write("broken", "")
    assert project.run("run", "jobs/flows.py:training", "-p", "url=x").returncode == 1
    project.edit("jobs/flows.py", "rate == 2", "rate == 99")
    done = project.run("resume", "last")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "flows:training"], 2, "needs a value for url"),
        (["run", "flows:training", "-p", "url=x", "-p", "count=many"], 2, "'count' takes an int"),
        (["run", "flows:nope"], 2, "It has: careless, inner, napping, training"),
        (["run", "nowhere:flow"], 2, "There is no module 'nowhere'"),
        (["run", "broken.py:flow"], 2, "SyntaxError"),
        (["run", "flows.py"], 2, "flows.py:main"),
        (["run", "none.ipynb"], 2, "none.ipynb"),
        (["run", "flows:training", "-p", "url=x", "--executor", "nope"], 2, "no executor 'nope'"),
        (["run", "flows:training", "-p", "url=x", "--out", "x.ipynb"], 2, "--out is for notebooks"),
        (["show", "zzz"], 3, "There is no run 'zzz'"),
        (["resume", "zzz"], 3, "There is no run 'zzz'"),
        (["logs", "last", "nope"], 3, "no step 'nope'"),
        (["show", "last", "--db", "none.db"], 4, "There is no database"),
        (["show", "last", "--db", "flows.py"], 4, "not an SQLite database"),
        (["graph", "last", "--svg", "no/where.svg"], 2, "--svg"),
        (["gantt", "last", "--out", "no/where.svg"], 2, "--out"),
        (["gantt", "last", "--out", "run.bmp"], 2, "suffix"),
        (["gantt", "last", "--lanes", "colour"], 2, "colour"),
        (["gc", "--older-than", "soon"], 2, "30d"),
    ],
)
def test_bad_input_is_one_clear_message_and_a_code(ran, arguments, code, says):
    ran.write("broken.py", "def (:\n")
    done = ran.run(*arguments)
    assert done.returncode == code
    assert done.stderr.startswith("nbflow: ")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_of_an_empty_project_is_no_error(project):
    done = project.run("runs")
    assert (done.returncode, "No runs yet" in done.stdout) == (0, True)


def test_runs_can_be_chosen_by_flow_and_state(ran):
    assert len(ran.json("runs", "--flow", "training", "--state", "succeeded")) == 1
    assert ran.json("runs", "--state", "failed") == []


def test_show_indents_sub_flows_and_trims_tracebacks(failed):
    lines = failed.run("show", "last").stdout.splitlines()
    assert any(line.startswith("  train#1") for line in lines)
    assert any(line.startswith("best#1") and "needs what failed" in line for line in lines)
    assert sum(line.startswith("Traceback") for line in lines) == 1


def test_show_folds_many_equal_tasks_unless_asked(flows):
    flows.run("run", "flows:training", "-p", "url=x", "-p", "count=50")
    assert "train \N{MULTIPLICATION SIGN}50" in flows.run("show", "last").stdout
    assert "train#50" in flows.run("show", "last", "--all").stdout


def test_show_tells_which_errors_nobody_looked_at(flows):
    flows.run("run", "flows:careless")
    assert "did not look at the errors of fails#" in flows.run("show", "last").stdout


def test_show_as_json_has_every_task(ran):
    told = ran.json("show", "last")
    assert [task["key"] for task in told["tasks"] if task["parent"] is None][:2] == ["load#1", "inner#1"]


def test_logs_of_all_tasks_say_whose_they_are(ran):
    assert ran.run("logs", "last").stdout == "load#1 | loading x\n"
    assert ran.run("logs", "last", "load").stdout == "loading x\n"
    assert json.loads(ran.run("logs", "last", "--json").stdout)["stream"] == "stdout"


def test_gantt_draws_the_attempts_of_a_run(ran):
    assert "attempts" in ran.run("gantt", "last").stdout
    assert ran.run("gantt", "last", "--lanes", "step", "--out", "run.svg").returncode == 0
    assert "<svg" in (ran.folder / "run.svg").read_text()
    bars = json.loads(ran.run("gantt", "last", "--json").stdout)
    assert {bar["kind"] for bar in bars} >= {"running"}


def test_graph_draws_a_run_and_a_flow_before_any_run(ran):
    assert "✓ best" in ran.run("graph", "last").stdout
    assert "· train  ← load" in ran.run("graph", "flows:training").stdout
    assert ran.run("graph", "last", "--svg", "run.svg").returncode == 0
    assert (ran.folder / "run.svg").read_text().startswith("<svg")


def test_doctor_is_well_and_says_what_is_not(ran):
    assert ran.run("doctor").returncode == 0
    ran.write("damaged.db", "no database at all")
    done = ran.run("doctor", "--db", "damaged.db")
    assert done.returncode == 1
    assert "not an SQLite database" in done.stdout


def test_gc_asks_before_it_removes(ran):
    refused = ran.run("gc", "--older-than", "0m")
    assert (refused.returncode, "1 runs" in refused.stderr) == (2, True)
    assert ran.json("gc", "--older-than", "0m", "--dry-run")["removed"] is False
    assert ran.run("gc", "--older-than", "0m", "--yes").returncode == 0
    assert ran.json("runs") == []


def notebook(*sources):
    node = nbformat.v4.new_notebook()
    node.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    node.cells[0].metadata["tags"] = ["parameters"]
    return nbformat.writes(node)


def test_a_notebook_leaves_an_executed_one_beside_it(project):
    project.write("book.ipynb", notebook("rate = 2", "value = rate * 3\nprint(value)"))
    done = project.run("run", "book.ipynb", "-p", "rate=5")
    assert (done.returncode, "notebook: book.executed.ipynb" in done.stdout) == (0, True)
    cells = nbformat.read(project.folder / "book.executed.ipynb", as_version=4).cells
    assert cells[-1].outputs[0].text == "15\n"


def test_a_notebook_that_fails_is_written_with_its_error(project):
    project.write("book.ipynb", notebook("rate = 0", "1 / rate"))
    assert project.run("run", "book.ipynb", "--out", "out.ipynb").returncode == 1
    cells = nbformat.read(project.folder / "out.ipynb", as_version=4).cells
    assert cells[-1].outputs[0].ename == "ZeroDivisionError"


def test_where_the_notebook_goes_is_checked_before_it_runs(project):
    project.write("book.ipynb", notebook("rate = 0"))
    done = project.run("run", "book.ipynb", "--out", "no/where.ipynb")
    assert (done.returncode, "--out" in done.stderr) == (2, True)
    assert project.json("runs") == []


def test_control_c_keeps_what_is_finished_and_says_how_to_go_on(flows):
    flows.write("slow", "")
    process = subprocess.Popen(
        [sys.executable, "-m", "nbflow", "run", "flows:napping", "--executor", "processes"],
        cwd=flows.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy(),
    )  # fmt: skip
    wait_until((flows.folder / "started").exists)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "go on with: nbflow resume" in told
    (flows.folder / "slow").unlink()
    assert flows.json("resume", "last")["result"] == 1


def test_every_command_explains_itself(project):
    names = ["run", "resume", "runs", "show", "logs", "graph", "gantt", "doctor", "gc"]
    assert "Exit codes" in project.run("--help").stdout
    for name in names:
        assert "Usage: " in project.run(name, "--help").stdout


def test_version_and_debug(project):
    assert project.run("--version").stdout.startswith("nbflow ")
    assert "Traceback" in project.run("--debug", "show", "zzz", "--db", "none.db").stderr


def test_help_comes_at_once_since_nothing_heavy_is_imported_for_it(project):
    command = [sys.executable, "-X", "importtime", "-m", "nbflow", "--help"]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"pandas", "numpy", "sqlalchemy", "IPython", "nbformat", "cloudpickle", "distributed"}
