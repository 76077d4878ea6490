"""The parameters of a notebook: what its `parameters` cell sets, and what may be set instead."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from nbflow.analysis.cells import Cell
from nbflow.analysis.options import literal
from nbflow.model.errors import ParameterError
from nbflow.model.specs import Parameter
from nbflow.values.secrets.references import Secret, named, written

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_MAKE_ONE = "To make one, give the cell that sets its parameters the tag `parameters`."


def parameters_of(cells: Sequence[Cell]) -> tuple[Parameter, ...]:
    """The names that the `parameters` cell sets, with their values, annotations and comments."""
    found: dict[str, Parameter] = {}
    for cell in cells:
        if cell.parameters:
            for statement in cell.tree.body:
                parameter = _parameter(statement, cell.code.splitlines())
                if parameter is not None:
                    found[parameter.name] = parameter
    return tuple(found.values())


def _parameter(statement: ast.stmt, lines: Sequence[str]) -> Parameter | None:
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, annotation = statement.targets[0], ""
    elif isinstance(statement, ast.AnnAssign):
        target, annotation = statement.target, ast.unparse(statement.annotation).strip("'\"")
    else:
        return None
    if not isinstance(target, ast.Name):
        return None
    comment = ""
    line = lines[(statement.end_lineno or 1) - 1][statement.end_col_offset or 0 :].strip() if lines else ""
    if line.startswith("#"):
        comment = line.lstrip("# ")
    value: Any = None
    if statement.value is not None:
        try:
            value = ast.literal_eval(statement.value)
        except ValueError:
            annotation = annotation or "expression"
    return Parameter(target.id, annotation, value, statement.value is None, comment)


def check_parameters(
    known: Sequence[Parameter], given: Mapping[str, Any], where: str, *, texts: bool = False
) -> dict[str, Any]:
    """The given values in the types that the notebook declares; with `texts`, they come from a command line.

    Raises ParameterError for names that the notebook does not have, and for values of another type.
    """
    by_name = {parameter.name: parameter for parameter in known}
    if given and not by_name:
        raise ParameterError(f"{where} has no parameters, so {next(iter(given))!r} cannot be set. {_MAKE_ONE}")
    result = {}
    for name, value in given.items():
        if name not in by_name:
            close = difflib.get_close_matches(name, by_name, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ParameterError(f"{where} has no parameter {name!r}.{hint} It has {', '.join(by_name)}.", name=name)
        result[name] = _converted(by_name[name], value, where, from_text=texts and isinstance(value, str))
    missing = [parameter.name for parameter in known if parameter.required and parameter.name not in given]
    if missing:
        raise ParameterError(f"{where} needs a value for {', '.join(missing)}: it declares no default. Give it with "
                             f"-p {missing[0]}=VALUE.", name=missing[0])  # fmt: skip
    return result


def _converted(parameter: Parameter, value: Any, where: str, *, from_text: bool) -> Any:
    wanted = _type_name(parameter)
    if isinstance(value, Secret) or (isinstance(value, str) and named(value)):
        return value  # a text, whatever is declared: it is looked up where the cells run
    try:
        if from_text:
            value = _from_text(wanted, value)
        if _fits(wanted, value):
            return float(value) if wanted == "float" else value
    except ValueError:
        pass
    raise ParameterError(
        f"{where}: parameter {parameter.name!r} is {_article(wanted)}, and {value!r} is not. "
        f"Its value in the notebook is {parameter.default!r}.",
        name=parameter.name,
    )


def _type_name(parameter: Parameter) -> str:
    if parameter.annotation and parameter.annotation != "expression":
        return parameter.annotation.replace("typing.", "").lower()
    if parameter.default is None:
        return "any"
    return type(parameter.default).__name__


def _from_text(wanted: str, text: str) -> Any:
    base = wanted.partition("[")[0]
    if base == "str":
        return text
    if "none" in wanted and text.lower() == "none":
        return None
    if base == "bool":
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise ValueError(text)
    if base == "int":
        return int(text)
    if base == "float":
        return float(text)
    try:
        return literal(text)
    except ValueError:
        if base in {"list", "tuple", "dict", "set"}:
            raise
        return text


def _fits(wanted: str, value: Any) -> bool:
    choices = [part.strip() for part in wanted.replace("optional[", "none | ").replace("]", "").split("|")]
    return any(_fits_one(choice.partition("[")[0], value) for choice in choices)


def _fits_one(wanted: str, value: Any) -> bool:
    kinds: dict[str, Any] = {"int": int, "str": str, "bool": bool, "list": list, "tuple": (tuple, list), "dict": dict,
                             "set": set, "bytes": bytes, "none": type(None), "nonetype": type(None)}  # fmt: skip
    if wanted == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted == "int" and isinstance(value, bool):
        return False
    return isinstance(value, kinds[wanted]) if wanted in kinds else True


def _article(wanted: str) -> str:
    return f"{'an' if wanted[:1] in 'aeiou' else 'a'} {wanted}"


def injected_source(parameters: Mapping[str, Any]) -> str:
    """The cell that sets parameters to other values."""
    return "# Parameters\n" + "".join(f"{name} = {written(value)!r}\n" for name, value in parameters.items())
