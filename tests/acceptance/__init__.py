"""The real command in a subprocess, as a user has it."""
