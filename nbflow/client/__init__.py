"""Reading and steering what runs: handles of runs, and frames made from their rows.

Executing anything belongs to the engine, SQL to storage, and pictures to the views.
"""
