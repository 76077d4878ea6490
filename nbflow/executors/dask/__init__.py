"""Runs tasks on a Dask cluster: one that is there already, or one of processes of this machine that nbflow starts.

Dask decides where and when there is room; its tasks here are *slots*, each a place of one worker that runs attempts of
steps, one after the other, until there are no more. So an attempt is given away once and never repeated by Dask, and
one that takes a millisecond does not pay for a turn of Dask's scheduler. What is no part of a cluster (retries, what a
task waits for, records) is not known here.
"""

from nbflow.executors.dask.executor import DaskExecutor

__all__ = ["DaskExecutor"]
