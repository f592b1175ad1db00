"""lib.lua: the helpers that stand in front of every script."""

from __future__ import annotations

import random
from importlib import resources

import pytest

from tests.lua.snapshot import Rig, utc_date

pytestmark = pytest.mark.every_server
LIBRARY = resources.files("ocrq.lua").joinpath("lib.lua").read_text("utf-8")


def evaluate(rig: Rig, expression: str, *arguments: str) -> list[str]:
    """The expression of `x` for each argument."""
    body = f"local out = {{}} for i, x in ipairs(ARGV) do out[i] = {expression} end return out"
    return list(rig.client.eval(f"{LIBRARY}\n{body}", 0, *arguments))


def test_dates(rig: Rig) -> None:
    """The UTC date of any moment from 1970 to 2100, leap days and ends of days included."""
    days = [-1, 0, 11016, 11017, 19782, 19783, 47540, 47541]  # around 2000-02-29, 2024-02-29, 2100-02-28
    moments = [day * 86400 + second for day in days[1:] for second in (0, 86399)]
    moments += [random.Random(1).randrange(4_100_000_000) for _ in range(500)]
    assert evaluate(rig, "date_of(tonumber(x))", *(f"{moment}999" for moment in moments)) == [
        utc_date(moment) for moment in moments
    ]


def test_text_of_numbers(rig: Rig) -> None:
    """Whole numbers in full, others as short as they stay exact."""
    numbers = ["0", "-1", "5", "9007199254740991", "1000000000000000", "0.1", "-2.5", "0.30000000000000004"]
    assert evaluate(rig, "text_of(tonumber(x))", *numbers) == numbers
    assert [float(text) for text in evaluate(rig, "text_of(tonumber(x))", "1e300", "1e-7")] == [1e300, 1e-7]


def test_counts(rig: Rig) -> None:
    """A whole number from 0, whatever was written."""
    texts = {"7": "7", "7.9": "7", "-1": "0", "nan": "0", "inf": "0", "": "0", "abc": "0", "1e300": "0"}
    assert evaluate(rig, "text_of(count_of(x))", *texts) == list(texts.values())
