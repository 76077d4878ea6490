"""One meaning: the same flows on every executor and database."""
