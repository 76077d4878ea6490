"""What a step of a declared flow can do: call a function, run a command, ask a server, wait, ask a person.

`Operator` is the base of own ones, see `base`. How steps hang together does not belong here. The names:

Function, Shell, Http, Sql, Notebook, SubFlow, Wait and Approval for steps; `Outcome` is what a step with several
outcomes returns; `operator` and `Operator` are for own kinds of steps; `OperatorError` is what they raise.
"""

from nbflow.authoring.declarative.operators.approval import Approval, approve
from nbflow.authoring.declarative.operators.base import Operator, OperatorError, Outcome, operator
from nbflow.authoring.declarative.operators.functions import Function, SubFlow
from nbflow.authoring.declarative.operators.http import Http
from nbflow.authoring.declarative.operators.notebook import Notebook
from nbflow.authoring.declarative.operators.shell import Shell
from nbflow.authoring.declarative.operators.sql import Sql
from nbflow.authoring.declarative.operators.wait import Wait

__all__ = [
    "Approval",
    "Function",
    "Http",
    "Notebook",
    "Operator",
    "OperatorError",
    "Outcome",
    "Shell",
    "Sql",
    "SubFlow",
    "Wait",
    "approve",
    "operator",
]
