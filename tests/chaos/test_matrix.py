"""The matrix is honest: each row is covered by tests that exist, or says why it is not."""

from __future__ import annotations

import re

from tests.chaos.faults import FAULTS
from tests.chaos.matrix import MATRIX
from tests.meta.documents import ROOT


def test_every_row_is_accounted_for() -> None:
    """C1 to C52, each with tests or with a reason, never both."""
    assert list(MATRIX) == [f"C{number}" for number in range(1, 53)]
    for name, row in MATRIX.items():
        assert bool(row.tests) != bool(row.why_not), name


def test_every_named_test_exists() -> None:
    """A fault that is named covers that row by its own account; a test function stands in its file."""
    for name, row in MATRIX.items():
        for test in row.tests:
            if test.startswith("fault "):
                assert name in FAULTS[test.removeprefix("fault ")].rows.split(), (name, test)
                continue
            path, _, function = test.partition("::")
            assert re.search(rf"^def {function}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE), test


def test_every_fault_covers_a_row() -> None:
    """No fault is tried that the matrix does not know."""
    named = {test.removeprefix("fault ") for row in MATRIX.values() for test in row.tests if test.startswith("fault ")}
    assert named == set(FAULTS)
