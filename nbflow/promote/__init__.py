"""A flow becomes a deployment: snapshot, check, schedule, triggers, reports.

How flows run is the engine's business, and how times are found the queue's.
"""
