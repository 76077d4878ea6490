"""Running one attempt of a task: inputs in, function, result and output out, here or in a child process of this one.

Which tasks run, in what order and what follows from their end is decided above; databases are not known here.
"""
