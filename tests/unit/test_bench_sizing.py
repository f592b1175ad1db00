"""`ocrq bench`: from seconds per page to a number of processes."""

from __future__ import annotations

import pytest

from ocrq.bench.pages import summary
from ocrq.bench.sizing import UTILISATION, answer, capacity, waiting
from ocrq.bench.workloads import OutOfTime, percentile
from ocrq.errors import UsageError


def test_the_answer() -> None:
    """120 pages a minute of 2.5 s keep 5 processes busy; 8 are in use at most 70 %; 4 machines of 2 CPUs."""
    found = answer(120, 2.5, cpus=2)
    assert (found.busy, found.processes, found.machines) == (5.0, 8, 4)
    assert found.utilisation == pytest.approx(5 / 8)
    assert found.utilisation <= UTILISATION


@pytest.mark.parametrize(
    ("per_minute", "seconds", "processes"), [(60, 0.7, 1), (60, 0.71, 2), (60, 7.0, 10), (0.01, 0.001, 1)]
)
def test_the_number_is_the_least(per_minute: float, seconds: float, processes: int) -> None:
    """Exactly 70 % still fits; a bit more wants one more; less than one process is one."""
    assert answer(per_minute, seconds, cpus=4).processes == processes


def test_waiting() -> None:
    """Erlang C, known values: two busy of three delay 4/9 of the tasks; one of two a third of them."""
    mean, tail = waiting(2.0, 3, 1.5)
    assert mean == pytest.approx(4 / 9 * 1.5)
    assert tail == pytest.approx(3.277, abs=0.001)  # ln(4/9 / 0.05) x 1.5 s
    assert waiting(1.0, 2, 3.0)[0] == pytest.approx(1.0)
    assert waiting(0.01, 4, 1.0)[0] == pytest.approx(0.0, abs=1e-6)
    assert waiting(0.01, 4, 1.0)[1] == 0.0


def test_whole_documents_wait_longer() -> None:
    """A process is free after a document, not after a page."""
    page, document = answer(60, 1.0, cpus=1), answer(60, 1.0, cpus=1, pages_per_document=10)
    assert document.processes == page.processes
    assert document.wait_mean == pytest.approx(10 * page.wait_mean)


def test_capacity_and_answer_agree() -> None:
    """What so many processes carry is answered with that many."""
    pages = capacity(0.9, processes=6)
    assert answer(pages, 0.9, cpus=2).processes == 6


def test_more_than_anybody_runs_is_refused() -> None:
    """The error names the number."""
    with pytest.raises(UsageError, match="7,142,858 processes"):
        answer(300_000, 1000, cpus=2)


def test_percentile() -> None:
    """The nearest rank: of a hundred values the 99th, of one that one."""
    assert percentile(list(range(1, 101)), 0.99) == 99
    assert percentile(list(range(1, 101)), 0.50) == 50
    assert percentile([7.0], 0.99) == 7.0


def test_pages_of_documents() -> None:
    """Seconds per page is run time over pages, a document without a page count has one."""
    hashes = [
        {"started_at": "1700000000000", "completed_at": "1700000003000", "page_count": "3"},
        {"started_at": "1700000000500", "completed_at": "1700000001500"},
    ]
    found = summary("echo", 2, hashes)
    assert (found.documents, found.pages) == (2, 4)
    assert found.seconds_per_page == pytest.approx(1.0)
    assert found.pages_per_minute == pytest.approx(60.0)
    assert found.pages_per_document == 2.0
    with pytest.raises(OutOfTime, match="documents by echo"):
        summary("echo", 2, [])
