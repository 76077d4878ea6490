"""Gantt charts of attempts, jobs, tasks, runs, or of any frame with times. Here frames become bars and bars pictures.

Nothing here reads a database or follows a run; who does hands in frames.
"""

from nbflow.views.gantt.chart import Gantt, gantt
from nbflow.views.gantt.columns import GanttError

__all__ = ["Gantt", "GanttError", "gantt"]
