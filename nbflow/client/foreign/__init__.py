"""Reading the queues of other systems, each in a module of its own: the same frames, and nothing is ever written.

What a system keeps is read from where it keeps it (Redis, an SQLite file, a scheduler), so that its own package need
not be installed here, and no payload is ever unpickled. `reading` is what all have in common; `redis_reading` is a
connection that refuses to write; `pickles` looks into pickles without loading them. Nothing here knows nbflow's own
queue: that is `nbflow.client.frames`.
"""
