"""Join rules: what a step does for each mixture of how its dependencies went."""

from __future__ import annotations

import pytest

from nbflow.authoring.declarative.joins import RULES, Edge, Verdict, edge

T, L, F = Edge.TAKEN, Edge.LEFT, Edge.FAILED
MIXTURES = ["T", "L", "F", "TL", "TF", "LF", "TLF"]
# For each rule and each mixture above: r(un), s(kip) or b(lock).
TABLE = {
    "all": "rsbsbbb",
    "any": "rsbrrbr",
    "none_failed": "rrbrbbb",
    "any_none_failed": "rsbrbbb",
    "none_skipped": "rsrsrss",
    "all_done": "rrrrrrr",
    "one_failed": "ssrsrrr",
    "all_failed": "ssrssss",
}


def test_the_table_has_every_rule() -> None:
    assert set(TABLE) == set(RULES)


@pytest.mark.parametrize("rule", TABLE)
def test_a_rule_decides_by_the_table(rule: str) -> None:
    letters = {"T": T, "L": L, "F": F}
    found = [RULES[rule]([letters[letter] for letter in mixture]) for mixture in MIXTURES]
    verdicts = {"r": Verdict.RUN, "s": Verdict.SKIP, "b": Verdict.BLOCK}
    assert found == [verdicts[letter] for letter in TABLE[rule]]


@pytest.mark.parametrize(
    ("succeeded", "failed", "outcome", "wanted", "expected"),
    [
        (True, False, None, (), T),
        (True, False, "good", (), T),
        (True, False, "good", ("good", "fair"), T),
        (True, False, "bad", ("good",), L),
        (True, False, "good", ("failed",), L),
        (False, True, None, (), F),
        (False, True, None, ("good",), F),
        (False, True, None, ("failed",), T),
        (False, False, None, (), L),
        (False, False, None, ("failed",), L),
    ],
)
def test_an_edge_is_taken_left_or_failed(succeeded, failed, outcome, wanted, expected) -> None:
    assert edge(succeeded=succeeded, failed=failed, outcome=outcome, wanted=wanted) is expected
