"""`@flow`: a plain Python function whose step calls make up a flow."""

from __future__ import annotations

import functools
import inspect
import keyword
import sys
import threading
from collections.abc import Callable, Iterable
from contextvars import ContextVar, copy_context
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from nbflow import settings as settings_module
from nbflow.authoring.step import Step, by_name, seconds
from nbflow.client.run import Run
from nbflow.engine import detached, loader, new_runs, session
from nbflow.engine.frames import FRAME, Frame
from nbflow.engine.leftovers import ABANDON, POLICIES
from nbflow.model.errors import ConfigError, DefinitionError, StorageError
from nbflow.model.names import check_name
from nbflow.model.specs import FlowSpec, Parameter, StepSpec
from nbflow.running import context
from nbflow.running.failure import with_user_frames
from nbflow.values.secrets import places, references

if TYPE_CHECKING:
    from nbflow.model.events import Listener
    from nbflow.views.graph import Picture

P = ParamSpec("P")
R = TypeVar("R")

_PLAIN: ContextVar[bool] = ContextVar("nbflow_plain", default=False)
_LOCAL = frozenset({"serial", "threads", "processes"})  # executors whose steps find the secrets that are found here
RUN_OPTIONS = frozenset({"db", "executor", "workers", "tags", "listeners", "clock", "echo", "on_parent_end"})


class Flow(Generic[P, R]):
    """A function as a flow: call it to run it and get its value, or use `run`, `submit` and `resume`.

    Called inside another flow, it is a sub-flow: one entry in that flow, with a history of its own.
    """

    spec: FlowSpec
    __wrapped__: Callable[P, R]

    def __init__(self, spec: FlowSpec) -> None:
        self.spec = spec
        functools.update_wrapper(self, spec.function)
        self._as_step = StepSpec(
            spec.name, spec.function, timeout=spec.timeout, version=spec.version, tags=spec.tags, kind="flow"
        )
        loader.define(spec)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the flow now and return its value; raises what the flow function raises."""
        frame = FRAME.get()
        if frame is not None:
            return cast("R", frame.call(self._as_step, args, kwargs))
        if _PLAIN.get():
            return cast("R", self.spec.function(*args, **kwargs))
        given, named = _with_secrets(args, kwargs)
        live = self._begin(given, named, {})
        outcome = live.execute(given, named)
        if outcome.error is not None:
            _add_way_out(outcome.error, live.id)
            raise with_user_frames(outcome.error)
        return cast("R", outcome.value)

    def plain(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the flow as ordinary Python, one step after the other, with nothing recorded."""
        token = _PLAIN.set(True)
        called: Any = self.spec.function
        given, named = _with_secrets(args, kwargs)
        try:
            return cast("R", called(*given, **named))
        finally:
            _PLAIN.reset(token)

    def run(self, /, *args: Any, **kwargs: Any) -> Run:
        """Run the flow now and return the finished `Run`, failed or not.

        Beside the flow's own arguments: `executor` ("serial", "threads", "processes", ...), `workers`, `db` (path
        or URL), `tags`, `listeners` (called with batches of events), `echo` (whether what steps print is shown as
        it happens) and `clock`. For a run that a step or flow of another run starts, `on_parent_end` says what becomes
        of it if that one ends first: "abandon" it (default), "cancel" it, which its steps and flows are told and may
        clean up after, or "terminate" it: it is cancelled at once, and the processes of its steps are killed. Raises
        StorageError if the run could not be recorded to its end, since there is no finished run then.
        """
        options, kwargs = _split(kwargs)
        args, kwargs = _with_secrets(args, kwargs)
        live = self._begin(args, kwargs, options)
        outcome = live.execute(args, kwargs)
        if isinstance(outcome.error, (KeyboardInterrupt, StorageError)):
            raise outcome.error
        return Run(live.id, db=options.get("db"), session=live)

    def submit(self, /, *args: Any, **kwargs: Any) -> Run:
        """Start the flow in the background and return its live `Run` at once. Takes what `run` takes.

        With `executor="queue"` workers execute it, the flow function too: this process may end, and any worker may die.
        Called by a flow function, it starts one run however often that function is replayed.
        """
        options, kwargs = _split(kwargs)
        args, kwargs = _with_secrets(args, kwargs)
        frame = FRAME.get()
        if frame is not None:
            options["id"], begun = _own_run(frame, self.spec.name, options)
            if begun:
                return Run(options["id"], db=options.get("db"))
        if (options.get("executor") or self.spec.executor or settings_module.current().executor) == "queue":
            run = detached.submit(self.spec, args, kwargs, self._run_options(args, kwargs, options))
            return Run(run, db=options.get("db"))
        live = self._begin(args, kwargs, options)
        context = copy_context()
        thread = threading.Thread(
            target=context.run, args=(live.execute, args, kwargs), name=f"nbflow-run-{live.id}", daemon=True
        )
        thread.start()
        return Run(live.id, db=options.get("db"), session=live)

    def resume(self, run_id: str, **options: Any) -> Run:
        """Go on with a run of this flow where it stopped, with the code as it is now. Returns the finished `Run`."""
        return Run(run_id, db=options.get("db")).resume(spec=self.spec, **options)

    def graph(self) -> Picture:
        """The steps that the flow function's source calls, as a picture, before any run."""
        from nbflow.authoring.conceptual import conceptual_picture

        return conceptual_picture(self.spec)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Flows are functions, not methods: a flow function takes values, which a run can store."""
        if instance is None:
            return self
        raise DefinitionError(f"flow {self.spec.name!r} is used as a method; make it a function at module level.")

    def __repr__(self) -> str:
        return f"<flow {self.spec.name!r}>"

    def __reduce__(self) -> Any:
        """By name where the module can be imported elsewhere, else by value."""
        return by_name(self) or (Flow, (self.spec,))

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> session.Session:
        run_options = self._run_options(args, kwargs, options)
        if (run_options.executor or self.spec.executor or settings_module.current().executor) in _LOCAL:
            for name in references.names_in([*args, kwargs]):
                places.find(name)  # else each step that is given it would fail
        return session.begin(self.spec, args, kwargs, run_options)

    def _run_options(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
    ) -> session.RunOptions:
        _check_arguments(self.spec, args, kwargs)
        tags = tuple(check_name(tag, "tag") for tag in options.get("tags", ()))
        chosen = {key: value for key, value in options.items() if key != "tags"}
        if options.get("on_parent_end", ABANDON) not in POLICIES:
            raise ConfigError(f"on_parent_end is one of {', '.join(POLICIES)}, not {options['on_parent_end']!r}.")
        chosen["listeners"] = tuple(chosen["listeners"]) if "listeners" in chosen else _default_listeners()
        return session.RunOptions(tags=tags, **chosen)


def _default_listeners() -> tuple[Listener, ...]:
    """In a notebook a run shows how far it is, unless it belongs to a step of another run."""
    ipython = sys.modules.get("IPython") if "ipykernel" in sys.modules else None  # not imported for this question
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel") or context.current() is not None:
        return ()
    from nbflow.views.progress import RunProgress

    return (RunProgress(),)


def _own_run(frame: Frame, name: str, options: dict[str, Any]) -> tuple[str, bool]:
    """The id of the run that a flow function starts with this call, and whether it has begun already."""
    found: str = frame.record(f"submit {name}", lambda: new_runs.new_id(frame.engine.clock))
    frame.engine.flush()  # so that no replay starts another one
    return found, new_runs.exists(found, options.get("db"))


def _with_secrets(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments with references to secrets for texts that name some."""
    return tuple(map(references.referring, args)), {name: references.referring(item) for name, item in kwargs.items()}


def _split(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    options = {key: value for key, value in kwargs.items() if key in RUN_OPTIONS}
    return options, {key: value for key, value in kwargs.items() if key not in RUN_OPTIONS}


def _check_arguments(spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    from nbflow.model.errors import ParameterError

    try:
        inspect.signature(spec.function).bind(*args, **kwargs)
    except TypeError as error:
        known = ", ".join(parameter.name for parameter in spec.parameters) or "none"
        raise ParameterError(f"flow {spec.name!r}: {error}. Its parameters are: {known}.") from error
    except ValueError:
        return  # a callable without a signature says for itself what it takes


def _add_way_out(error: BaseException, run_id: str) -> None:
    note = f"nbflow: run {run_id}. See it: nbflow show {run_id}. Go on where it stopped: nbflow resume {run_id}"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


@overload
def flow(function: Callable[P, R], /) -> Flow[P, R]: ...


@overload
def flow(
    function: None = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
    executor: str | None = None,
    workers: int | None = None,
    tags: Iterable[str] = (),
    timeout: float | timedelta | None = None,
    decision_timeout: float | timedelta | None = None,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...


def flow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
    executor: str | None = None,
    workers: int | None = None,
    tags: Iterable[str] = (),
    timeout: float | timedelta | None = None,
    decision_timeout: float | timedelta | None = None,
) -> Any:
    """Make a function a flow. Use it bare (`@flow`) or with options.

    The function is plain single-threaded Python. Calls of steps in it return at once; using a result waits for it.
    name: default: the function's name. version: part of the flow's identity. executor, workers: where its steps
    run unless the call says otherwise. tags: words to find its runs by.
    timeout: seconds (or a timedelta) that a run, or a call as a sub-flow, may take from when it begins. Then it ends as
    timed out with StepTimeoutError, and what it called is cancelled. Its function learns of that where it calls or
    waits for something; a run on the queue ends then though it is suspended.
    decision_timeout: seconds (or a timedelta) that the function of a run on a worker may compute between two waits.

    Raises DefinitionError for functions that cannot be flows.
    """

    def decorate(target: Callable[..., Any]) -> Flow[..., Any]:
        _check_function(target)
        given = check_name(name or target.__name__, "flow")
        module, qualname = target.__module__, target.__qualname__
        reference = f"{module}:{qualname}" if "<locals>" not in qualname else None
        return Flow(
            FlowSpec(
                name=given,
                function=target,
                parameters=_parameters(target),
                version=version,
                executor=executor,
                workers=workers,
                tags=tuple(check_name(tag, "tag") for tag in tags),
                doc=inspect.getdoc(target) or "",
                reference=reference,
                timeout=seconds(timeout, f"timeout of flow {given!r}"),
                decision_timeout=seconds(decision_timeout, f"decision timeout of flow {given!r}"),
            )
        )

    return decorate if function is None else decorate(function)


def _check_function(target: Any) -> None:
    if isinstance(target, (Flow, Step)):
        raise DefinitionError(f"{target!r} is decorated already.")
    if not inspect.isfunction(target):
        raise DefinitionError(f"@flow decorates a function; {type(target).__name__} {target!r} is none.")
    if inspect.iscoroutinefunction(target) or inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise DefinitionError(
            f"flow {target.__name__!r} is async or a generator. Write a plain def: its steps may be async, and they "
            "run side by side anyway."
        )
    taken = sorted(RUN_OPTIONS & set(inspect.signature(target).parameters))
    if taken:
        raise DefinitionError(
            f"flow {target.__name__!r} has a parameter {taken[0]!r}, which is an option of run(); rename the parameter."
        )


def _parameters(target: Callable[..., Any]) -> tuple[Parameter, ...]:
    out = []
    for item in inspect.signature(target).parameters.values():
        required = item.default is item.empty and item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
        annotation = "" if item.annotation is item.empty else inspect.formatannotation(item.annotation).strip("'")
        default = None if item.default is item.empty else item.default
        out.append(Parameter(item.name, annotation, default, required))
    return tuple(out)


def inject(factory: Callable[..., Callable[..., Any]], *, name: str | None = None, **steps: Any) -> Flow[..., Any]:
    """A flow from a factory that receives its steps as named arguments and returns the flow function.

    `factory` is a function that returns one (a closure), or a class whose instances can be called. The same factory
    called with the bare functions gives the same code without nbflow. Raises DefinitionError if a name is not an
    identifier or if the factory does not take exactly these names.
    """
    for given in steps:
        if not given.isidentifier() or keyword.iskeyword(given):
            raise DefinitionError(
                f"{given!r} cannot name a step of a factory: it has to be an identifier, not a keyword."
            )
    given_name: str = name or str(getattr(factory, "__name__", "flow"))
    try:
        inspect.signature(factory).bind(**steps)
    except TypeError as error:
        raise DefinitionError(
            f"factory {given_name!r}: {error}. It was given {', '.join(steps) or 'no steps'}."
        ) from error
    made = factory(**steps)
    if not callable(made):
        raise DefinitionError(f"factory {given_name!r} returned {type(made).__name__}, not something to call.")
    check_name(given_name, "flow")
    return Flow(
        FlowSpec(name=given_name, function=made, parameters=_parameters(made), doc=inspect.getdoc(factory) or "")
    )
