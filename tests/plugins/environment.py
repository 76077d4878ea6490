"""The same surroundings for every test: no settings of the person at the desk, and hypothesis as its place wants it.

CI tries the same examples every time (`--hypothesis-profile=ci`), the desk tries new ones.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Deadlines and "too slow" would measure the machine: the examples run flows with threads and processes.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}

settings.register_profile("ci", derandomize=True, max_examples=40, database=None, **_COMMON)
settings.register_profile("dev", max_examples=100, **_COMMON)
settings.load_profile("dev")


def pytest_configure() -> None:
    """Forget nbflow's own settings; NBFLOW_TEST_... tell the tests where a server is."""
    for name in [name for name in os.environ if name.startswith("NBFLOW_") and not name.startswith("NBFLOW_TEST_")]:
        del os.environ[name]
