"""The type of a connection, for those who hand one on; what can be done with it is this package's alone."""

from sqlalchemy import Connection

__all__ = ["Connection"]
