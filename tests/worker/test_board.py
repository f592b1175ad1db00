"""The board: who may bury whom."""

from __future__ import annotations

import math
import multiprocessing
import time
from pathlib import Path

from ocrq.worker.board import Board, orphans


def _die_with_a_board(folder: str, name: str, server: str) -> None:
    board = Board.create(Path(folder), name, server=server, slots=2, entries=1)
    board.slots[0].renew()
    board.slots[0].start("task-1", time.monotonic(), math.inf)


def _dead_worker(folder: Path, name: str, server: str) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_die_with_a_board, args=(str(folder), name, server))
    process.start()
    process.join(20)
    assert process.exitcode == 0


def test_a_living_workers_board_is_nobodys_to_take(tmp_path: Path) -> None:
    """The lock of its owner protects it."""
    board = Board.create(tmp_path, "w1", server="s", slots=1, entries=1)
    assert list(orphans(tmp_path, "other", "s")) == []
    board.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_dead_workers_board_says_what_it_ran(tmp_path: Path) -> None:
    """It is found once its owner is gone, and by one finder only."""
    _dead_worker(tmp_path, "w1", "s")
    found = orphans(tmp_path, "other", "s")
    board = next(found)
    assert [entry.task_id for entry in board.slots[0].running()] == ["task-1"]
    assert list(board.slots[1].running()) == []
    assert list(orphans(tmp_path, "third", "s")) == [], "two buried one worker"
    board.remove()
    assert list(found) == []


def test_boards_of_other_servers_are_left_alone(tmp_path: Path) -> None:
    """Their tasks are not on our server; a worker of theirs will look after them."""
    _dead_worker(tmp_path, "w1", "another server")
    assert list(orphans(tmp_path, "other", "s")) == []
    assert len(list(orphans(tmp_path, "other", "another server"))) == 1


def test_a_torn_board_is_cleared_away(tmp_path: Path) -> None:
    """A file that is no board harms nobody."""
    (tmp_path / "torn.board").write_bytes(b"ocrqbrd1\xff\xff\xff")
    (tmp_path / "empty.board").write_bytes(b"")
    assert list(orphans(tmp_path, "other", "s")) == []
    assert list(tmp_path.iterdir()) == []
