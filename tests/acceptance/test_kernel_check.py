"""`%flow check` and `%flow history` in a real kernel: what cells did there, and whether it is what the page gives."""

from __future__ import annotations

from typing import Any

from tests.acceptance.kernel_session import Session


def told(session: Session) -> str:
    shown = session.flow("check", into="found")
    assert not shown.error, shown.trace
    return str(session.value("str(found)"))


def clean(session: Session) -> bool:
    return bool(session.value("found.clean"))


def rows(session: Session) -> list[dict[str, Any]]:
    """The history's table, without the first cell, which loads nbflow."""
    session.flow("history", into="table")
    found: list[dict[str, Any]] = session.value("table.to_dict('records')")
    return found


def test_all_is_well_when_the_page_was_run_from_top_to_bottom(session: Session) -> None:
    session.cells_of(
        "import numpy as np, pandas as pd\nnumbers = np.arange(5)",
        "frame = pd.DataFrame({'n': numbers})\nframe['double'] = frame.n * 2",
        "def total(data):\n    return data.double.sum() + numbers[0]",
        "%%step last\nresult = total(frame)\nwords = {'a', 'b'}",
        "%%capture shown\nprint(result)",
    )
    assert told(session) in {f"{count} names have the same value in the kernel and in the flow." for count in (8, 9)}
    assert clean(session)


def test_all_is_well_with_classes_of_the_notebook(session: Session) -> None:
    session.cells_of("class Box:\n    size = 1\nbox = Box()", "box.size = 2")
    told(session)
    assert clean(session)


def test_a_cell_that_ran_twice(session: Session) -> None:
    session.cells_of("count = 1", "count += 1", "double = count * 2")
    session.again(1)
    text = told(session)
    assert "count: kernel 3, flow 2" in text
    assert "cell 2 ran 2 times" in text
    assert "double" not in text
    assert "2 names" not in text


def test_a_cell_that_was_edited_after_it_ran(session: Session) -> None:
    session.cells_of("limit = 1", "bound = limit + 1")
    session.edit(0, "limit = 10")
    text = told(session)
    assert "limit: kernel 1, flow 10" in text
    assert "bound: kernel 2, flow 11" in text
    assert "cell 1 was edited after it ran" in text
    session.again(0)
    session.again(1)
    assert "edited" not in told(session)
    assert clean(session)


def test_a_cell_that_was_deleted(session: Session) -> None:
    session.cells_of("kept = 1", "left = 'over'")
    session.delete(1)
    text = told(session)
    assert "left: no cell of the notebook sets it; the kernel has 'over'" in text
    assert "is not on the page any more; it set left" in text


def test_cells_out_of_order(session: Session) -> None:
    session.cells_of("a = 1", "b = a", "a = 2")
    session.again(1)
    text = told(session)
    assert "b: kernel 2, flow 1" in text
    assert "cell 2 ran after cell 3" in text


def test_a_cell_that_never_ran(session: Session) -> None:
    session.cells_of("a = 1")
    session.type("b = 2")
    text = told(session)
    assert "b: the flow has it, and the kernel does not" in text
    assert "cell 2 did not run in this kernel" in text


def test_a_value_that_was_changed_by_hand(session: Session) -> None:
    session.cells_of("import pandas as pd\nframe = pd.DataFrame({'a': range(1000), 'b': 1.5})")
    session.cell("frame.loc[700, 'b'] = 2.5", page=False)
    text = told(session)
    assert "frame" in text
    assert "700" in text
    assert "1.5" in text


def test_a_name_that_the_flow_deletes(session: Session) -> None:
    session.cells_of("a = 1; b = 2", "del a")
    session.cell("a = 3", page=False)
    assert "a: the kernel has it, and the flow deletes it" in told(session)


def test_random_numbers_without_a_seed_are_named_as_the_reason(session: Session) -> None:
    session.cells_of("import random\ndrawn = random.random()")
    assert "cell 1 draws random numbers without a seed" in told(session)
    session.clear()
    session.cells_of("import random\nrandom.seed(5)\ndrawn = random.random()")
    assert "without a seed" not in told(session)
    assert clean(session)


def test_what_cannot_be_compared_is_named(session: Session) -> None:
    session.cells_of("lines = (n for n in range(3))", "a = 1")
    text = told(session)
    assert "1 name has the same value" in text
    assert "not compared, since they cannot leave their process: lines" in text


def test_a_notebook_that_fails_from_top_to_bottom_is_said_to(session: Session) -> None:
    session.type("a = 1", "b = undefined_name")
    shown = session.flow("check")
    assert "NameError" in shown.text
    assert "cannot be run from top to bottom" in shown.error
    assert "nbflow/" not in shown.error


def test_check_changes_nothing_in_the_kernel(session: Session) -> None:
    session.cells_of("count = 1", "items = [count]")
    session.cell("count = 7; items.append(8)", page=False)
    told(session)
    assert session.value("[count, items]") == [7, [1, 8]]


def test_history_tells_what_became_of_the_variables(session: Session) -> None:
    session.cells_of("a = [1]\nb = a", "c = 5", "a.append(2)", "del b", "%%capture out\nd = print('x')")
    found = rows(session)[-5:]
    assert [row["set"] for row in found] == ["a, b", "c", "", "", "d, out"]
    assert [row["changed"] for row in found] == ["", "", "a, b", "", ""]
    assert [row["deleted"] for row in found] == ["", "", "", "b", ""]
    assert [row["shares"] for row in found] == ["a = b", "", "a = b", "", ""]
    assert found[4]["source"] == "%%capture out"


def test_history_numbers_cells_as_the_notebook_does(session: Session) -> None:
    shown = session.cell("x = 1")
    number = next(told["content"]["execution_count"] for told in shown.messages if told["msg_type"] == "execute_input")
    assert rows(session)[-1]["cell"] == f"[{number}]"


def test_history_says_of_large_values_that_they_may_have_changed(session: Session) -> None:
    session.cells_of("import numpy as np\nlarge = np.ones(2**20)", "mean = large.mean()", "large *= 2", "other = 1")
    found = rows(session)[-4:]
    assert [row["may have changed"] for row in found] == ["", "large", "", ""]
    assert found[2]["changed"] == "large"


def test_history_names_files_and_what_changed_in_the_process(session: Session) -> None:
    session.cells_of(
        "import os, random\nimport numpy as np",
        "with open('made.csv', 'w') as file:\n    _ = file.write('1')",
        "text = open('made.csv').read()",
        "os.environ['COLOUR'] = 'red'",
        "os.makedirs('deep', exist_ok=True)\nos.chdir('deep')",
        "os.chdir('..')",
        "drawn = random.random()",
        "more = np.random.rand()",
    )
    found = rows(session)[-8:]
    assert [(row["read"], row["wrote"]) for row in found[1:3]] == [(0, 1), (1, 0)]
    assert [row["files"] for row in found[1:3]] == ["made.csv", "made.csv"]
    assert found[3]["effects"] == "environment: COLOUR"
    assert found[4]["effects"].startswith("working directory: ")
    assert found[4]["effects"].endswith("deep")
    assert [row["effects"] for row in found[6:]] == ["random numbers of random", "random numbers of numpy"]


def test_history_measures_time_and_memory(session: Session) -> None:
    session.cells_of("import time\nwait = time.monotonic() + 0.1\nwhile time.monotonic() < wait:\n    pass")
    session.cells_of("block = bytearray(b'x' * 50_000_000)")
    slow, large = rows(session)[-2:]
    assert 0.1 <= slow["seconds"] < 1
    assert 40 < large["MB"] < 120


def test_trying_things_on_inputs_leaves_no_trace_in_the_history(session: Session) -> None:
    session.type("%%step fails\nnumber = 1 / 0")
    session.flow("run", into="run")
    session.flow("debug run fails")
    before = len(rows(session))
    session.cell("%%flow scratch\nnumber = 5", page=False)
    session.cell("after = 1", page=False)
    assert [row["set"] for row in rows(session)[before:] if row["set"]] == ["after"]


def test_memory_that_the_user_frees_is_free_at_once(session: Session) -> None:
    session.cells_of("import numpy as np, weakref\nbig = np.ones(1000)\nheld = weakref.ref(big)")
    assert session.cell("del big\nprint(held())", page=False).text == "None\n"
