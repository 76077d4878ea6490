"""The words of nbflow as types: names, states, policies, specs, records, events, errors and ports.

Standard library only, and no I/O: whatever opens a file, a process or a connection belongs further up.
"""
