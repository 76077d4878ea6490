"""What the pages say about declared flows is so."""

from __future__ import annotations

import re
from pathlib import Path

from nbflow.authoring.declarative.joins import RULES
from nbflow.authoring.declarative.operators.base import kinds
from nbflow.authoring.declarative.structure import published
from nbflow.authoring.declarative.yaml_files import definition_of

PAGE = Path(__file__).parents[4] / "notebooks" / "about" / "declarative.md"


def test_the_example_of_the_page_has_no_mistakes() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert set(definition_of(text, "page", imports=False).steps) == {"fetch", "check", "train", "notify"}


def test_the_page_names_every_word_and_every_rule() -> None:
    named = set(re.findall(r"^\| `(\w+)`", PAGE.read_text(), re.MULTILINE))
    assert named >= {*kinds(), *RULES}


def test_the_schema_knows_every_word_and_every_rule() -> None:
    step = published()["$defs"]["step"]["properties"]
    assert set(kinds()) <= set(step)
    assert set(step["join"]["enum"]) == set(RULES)
