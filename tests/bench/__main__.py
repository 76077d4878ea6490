"""`python -m tests.bench NAME`: run a benchmark and print its table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from tests.bench import cells, dask, engine, queue, schedule, views
from tests.bench.table import Row, markdown, text

BENCHES: dict[str, tuple[Callable[[bool], list[Row]], str]] = {
    "cells": (cells.rows, "notebooks as flows: branches, analysis, chains, large frames, recording in a kernel"),
    "dask": (dask.rows, "cost of a task on Dask, beside distributed alone"),
    "engine": (engine.rows, "cost of a durable task, memory, large values, start-up, cache, a notebook"),
    "queue": (queue.rows, "jobs enqueued, drained and picked up on SQLite and PostgreSQL, beside bare SQLite and Huey"),
    "schedule": (schedule.rows, "what schedulers cost while nothing is due, and when 10,000 deployments are"),
    "views": (views.rows, "a million tasks as DataFrames and as pictures"),
}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=BENCHES, help="which benchmark; none lists them")
    parser.add_argument("--quick", action="store_true", help="one run of each, and nothing that takes long")
    parser.add_argument("--markdown", action="store_true", help="print the table for the README")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    asked = parser.parse_args()
    if asked.name is None:
        for name, (_, what) in BENCHES.items():
            print(f"{name:10} {what}")
        return
    found = BENCHES[asked.name][0](asked.quick)
    if asked.json:
        asked.json.write_text(json.dumps([row._asdict() for row in found], indent=2))
    print(markdown(found) if asked.markdown else text(found))


if __name__ == "__main__":
    main()
