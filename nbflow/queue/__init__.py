"""Task queues on the SQL database: calls go in, workers run them, schedules repeat them.

A job is a function with its arguments; what flows make of jobs is not known here.
"""
