"""One PostgreSQL database for all shapes: making one takes longer than running most of them."""

from __future__ import annotations

import pytest

from tests.servers import PostgresServer


@pytest.fixture(scope="session")
def shared_postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of a database that other tests have used."""
    return postgres_server.new_database()
