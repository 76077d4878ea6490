"""Flows that are written down rather than programmed: as a dict, as YAML, or with `>>` between steps.

Every form becomes the same data, which is checked once (`reading`) and run by one flow function (`execution`) on the
engine that runs all flows. How steps are scheduled does not belong here.
"""
