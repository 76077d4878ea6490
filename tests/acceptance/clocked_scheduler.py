"""A scheduler whose clock is a file: `python -m tests.acceptance.clocked_scheduler DATABASE FILE`.

The file holds seconds since 1970, as a double. So a test moves the time of several processes at once.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

from nbflow import settings
from nbflow.queue.scheduler import Scheduler
from nbflow.running.clock import SystemClock
from nbflow.storage import opened
from nbflow.values.project import value_store

_FORM = struct.Struct("<d")


def set_clock(file: Path, seconds: float) -> None:
    """Write the time; readers see the old one or the new one."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    os.pwrite(descriptor, _FORM.pack(seconds), 0)
    os.close(descriptor)


class FileClock(SystemClock):
    """The time that a file says."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def time(self) -> float:
        """Seconds since 1970."""
        return float(_FORM.unpack(self._file.read_bytes())[0])


def main() -> None:
    """Schedule until killed."""
    db, file = sys.argv[1:]
    settings.configure(db=db)
    database = opened.database(db)
    clock = FileClock(Path(file))
    Scheduler(database, value_store(settings.current(), database.url), clock).run()


if __name__ == "__main__":
    main()
