"""What a notebook's source says: cells, names, effects, parameters, and the graph of steps that follows from them.

Source in, records out. Nothing here runs a cell, and nothing here knows of tasks, runs or a database.
"""
