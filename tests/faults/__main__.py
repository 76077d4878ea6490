"""`python -m tests.faults`: jobs, flows and schedules while everything that runs them is killed, stopped and cut off.

At the end every job has one recorded completion, none is lost or stuck, limits and locks were never exceeded, and every
schedule fired once for each of its times. What is checked is the database, and a log that the jobs write themselves.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults.chaos import Chaos, Plan
from tests.servers import PostgresServer


def main() -> int:
    """Run it on the databases asked for, and print the figures; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--flows", type=int, default=200)
    parser.add_argument("--db", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--attacks", type=int, help="end them after so many; default: when all is done")
    asked = parser.parse_args()
    failed = False
    for kind in ("sqlite", "postgresql") if asked.db == "both" else (asked.db,):
        server = PostgresServer(durable=True).start() if kind == "postgresql" else None
        with tempfile.TemporaryDirectory(prefix="nbflow-faults-") as folder:
            db = server.new_database() if server is not None else f"sqlite:///{folder}/nbflow.db"
            plan = Plan(jobs=asked.jobs, flows=asked.flows, seed=asked.seed, attacks=asked.attacks)
            verdict = Chaos(Path(folder), db, plan, server).run()
        if server is not None:
            server.stop()
        print(f"{kind}: {verdict.text()}")
        failed |= bool(verdict.wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
