"""Who may import what, imports inside functions included."""

from __future__ import annotations

import subprocess
import sys

import pytest
from importlinter.cli import lint_imports

import nbflow
from tests.house.files import PACKAGE, ROOT, imports, short, sources

EVERYWHERE = ("",)

# Outside package: (where it may be imported at the top of a module, where only inside functions), as path prefixes
# below nbflow/. What is not in the table may be imported anywhere.
OUTSIDE = {
    "sqlalchemy": (("storage/",), ()),
    "alembic": (("storage/",), ()),
    "psycopg": (("storage/",), ()),
    "plotly": ((), ("views/", "jupyter/")),
    "ipywidgets": (("jupyter/",), ("views/",)),
    "anywidget": (("jupyter/",), ("views/",)),
    "IPython": (
        ("jupyter/", "authoring/cells/shell.py"),
        ("views/", "analysis/", "authoring/", "running/display.py", "cli/"),
    ),
    "nbformat": ((), ("analysis/", "authoring/", "jupyter/", "client/", "cli/")),
    "typer": (("cli/",), ()),
    "rich": (("cli/",), ("jupyter/", "views/")),
    "pandas": ((), EVERYWHERE),
    "numpy": ((), EVERYWHERE),
    "fsspec": ((), ("values/", "cli/", "deploying/files.py")),
    "starlette": (("server/app.py",), ("server/",)),
    "uvicorn": ((), ("server/",)),
    "wrapt": (("engine/", "authoring/"), ()),
    "distributed": ((), ("executors/dask/", "client/foreign/dask.py")),
    "redis": (("client/foreign/redis_reading.py",), ()),
    "msgpack": ((), ("client/foreign/celery_records.py",)),
}
HEAVY = [
    "pandas",
    "numpy",
    "plotly",
    "ipywidgets",
    "anywidget",
    "IPython",
    "nbformat",
    "sqlalchemy",
    "alembic",
    "fsspec",
    "typer",
    "rich",
    "distributed",
    "redis",
]


def test_imports_point_downwards(capsys):
    failed = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert not failed, capsys.readouterr().out


@pytest.mark.parametrize("outside", OUTSIDE)
def test_outside_packages_stay_in_their_rooms(outside):
    at_top, inside_functions = OUTSIDE[outside]
    wrong = []
    for path in sources(PACKAGE):
        room = path.relative_to(PACKAGE).as_posix()
        for module, line, at_import in imports(path):
            allowed = at_top if at_import else at_top + inside_functions
            if module.split(".")[0] == outside and not room.startswith(allowed):
                wrong.append(f"{short(path)}:{line}")
    assert wrong == []


def test_nobody_inside_imports_the_public_face():
    face = {"nbflow", *(f"nbflow.{name}" for name in nbflow.__all__)}
    faces = [
        f"{short(path)}:{line}" for path in sources(PACKAGE) for module, line, _ in imports(path) if module in face
    ]
    assert faces == []


def test_imports_are_absolute():
    relative = [(short(path), line) for path in sources(PACKAGE) for name, line, _ in imports(path) if name[:1] == "."]
    assert relative == []


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import nbflow", HEAVY),
        (
            "from nbflow import flow, step",
            ["pandas", "plotly", "ipywidgets", "IPython", "typer", "rich", "sqlalchemy", "nbflow.views.graph"],
        ),
        ("import nbflow.cli.main", ["pandas", "plotly", "ipywidgets", "IPython", "sqlalchemy", "packaging", "yaml"]),
    ],
)
def test_importing_nbflow_is_light(statement, unwanted):
    script = f"import sys; {statement}; print(*(name for name in {unwanted!r} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
