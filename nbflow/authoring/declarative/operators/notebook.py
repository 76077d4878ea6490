"""Steps that run a notebook."""

from __future__ import annotations

from typing import Any

from nbflow.authoring.declarative.operators.base import Operator


class Notebook(Operator, kind="notebook", main="path"):
    """A notebook as a run of its own, which belongs to this one; inputs are its parameters.

    Settings: path, values (names whose final values are wanted), out (where the executed notebook is written),
    executor and workers. The value is {name: value} of `values`, with the run's id as `run`.
    """

    def run(self, inputs: dict[str, Any], settings: dict[str, Any]) -> Any:
        """Run it to its end. Raises what a cell raises."""
        from nbflow.authoring.notebook import from_notebook

        options = {name: settings[name] for name in ("executor", "workers") if name in settings}
        run = from_notebook(settings["path"]).run(**inputs, **options, on_parent_end="cancel")
        if "out" in settings:
            run.save_notebook(settings["out"])
        final = run.values if settings.get("values") else run.result() and {}
        return {"run": run.id, **{name: final[name] for name in settings.get("values", ())}}
