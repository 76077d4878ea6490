"""Runs the cells of one step, in whichever process or thread an executor chose, as IPython would run them.

Which step takes what from which is `analysis.plan`'s to say, and when it runs is the engine's.
"""
