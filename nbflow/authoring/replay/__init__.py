"""Freezing what the steps of a notebook take and give, and replaying each of them alone against it.

How two values are compared is `values.compare`'s to say; commands and pytest's side stand above.
"""
