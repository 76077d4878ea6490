"""The one loop that runs every flow: decide what may start, advance the run, replay it after a crash.

What a step's body does, where it runs and how values are stored belongs further down; how flows are written, above.
"""
