"""Places where a ready task runs: in the caller's thread, on threads, in processes, on a queue, on another engine.

Work goes in and reports come out (`model.ports.Executor`). What a task waits for, whether it is tried again, cached or
recorded is not known here; flows, runs and databases belong to the floors above, and how an attempt runs to `running`.
"""
