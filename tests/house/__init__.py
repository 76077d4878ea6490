"""Rules of the house that a machine can hold: imports, numbers, layout, the public face."""
