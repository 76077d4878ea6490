"""Flows in YAML with mistakes in them. The comments at the end of each say where: line, column, part of the message."""
