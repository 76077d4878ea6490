import pytest

from nbflow.model.errors import RemoteError, StepTimeoutError
from nbflow.running.failure import error_record, restore_error
from nbflow.testing.steps import SuiteError, lock


class Unrestorable(Exception):
    def __reduce__(self):
        return (_raise, ())


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def _raise():
    raise ValueError("not again")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("text"),
        KeyError("name"),
        OSError(2, "No such file", "path"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why"),
        StepTimeoutError("late", step="train"),
        SuiteError("text", 5),
        ExceptionGroup("several", [ValueError("one"), TypeError("two")]),
        SystemExit(3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_comes_back_as_it_was(error):
    copy = restore_error(error_record(error))
    assert (type(copy), str(copy), copy.args) == (type(error), str(error), error.args) or repr(copy) == repr(error)
    assert {**vars(copy), "__notes__": None} == {**vars(error), "__notes__": None}


def test_causes_and_contexts_come_along():
    try:
        try:
            {}["missing"]
        except KeyError as problem:
            raise ValueError("wrong") from problem
    except ValueError as error:
        copy = restore_error(error_record(error))
    assert (type(copy.__cause__), type(copy.__context__)) == (KeyError, KeyError)
    assert copy.__suppress_context__


def test_exceptions_that_cause_each_other_are_no_problem():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    copy = restore_error(error_record(first))
    assert copy.__cause__.__cause__ is copy


def test_attributes_that_cannot_be_pickled_become_text():
    error = ValueError("text")
    error.held, error.code = lock(), 7
    copy = restore_error(error_record(error))
    assert (copy.code, type(copy.held)) == (7, str)


def test_classes_that_exist_here_only_come_back():
    class Local(Exception):
        pass

    assert type(restore_error(error_record(Local("text")))).__name__ == "Local"


def test_what_cannot_be_rebuilt_is_told_as_text():
    record = error_record(Unrestorable("text"))._replace(exception=b"nonsense")
    copy = restore_error(record)
    assert type(copy) is RemoteError
    assert "Unrestorable: text" in str(copy)


def test_an_exception_that_cannot_be_printed_is_told_as_far_as_possible():
    record = error_record(Mute())
    assert "RuntimeError" in record.message
    assert record.type.endswith("Mute")


def test_the_traceback_comes_along_once():
    try:
        raise ValueError("here")
    except ValueError as error:
        copy = restore_error(error_record(restore_error(error_record(error))))
    notes = [note for note in copy.__notes__ if 'raise ValueError("here")' in note]
    assert len(notes) == 1
