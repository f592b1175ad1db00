"""Notifications as their tolerant reader sees them, and which of them are told."""

from __future__ import annotations

import pytest

from ocrq.notifications import REMEMBERED, REMEMBERED_SECONDS, Memory, read_notification
from ocrq.steps import Message


def test_documented() -> None:
    """Each documented member has its attribute, every other one is data."""
    text = (
        '{"type":"task_completed","task_id":"t","user_id":7,"status":"completed","result":{"n":1},'
        '"timestamp":1697040240123,"x":null}'
    )
    heard = read_notification("c", text)
    assert (heard.type, heard.task_id, heard.user_id, heard.status) == ("task_completed", "t", "7", "completed")
    assert (heard.result, heard.timestamp, heard.data) == ({"n": 1}, 1697040240.123, {"x": None})
    assert (heard.channel, heard.text) == ("c", text)


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "{}", '{"type":""}', '{"type":7}', "\udcff", "[" * 100_000, '{"type":"a"']
)
def test_junk(text: str) -> None:
    """What is no message has the type "" and its text, nothing else."""
    heard = read_notification("c", text)
    assert (heard.type, heard.task_id, heard.result, heard.timestamp, heard.data, heard.text) == (
        "",
        "",
        None,
        None,
        {},
        text,
    )


def test_strange_members() -> None:
    """Members of another type than documented are empty."""
    heard = read_notification("c", '{"type":"a","task_id":[],"user_id":null,"status":true,"timestamp":"soon"}')
    assert (heard.type, heard.task_id, heard.user_id, heard.status, heard.timestamp) == ("a", "", "", "", None)


def test_each_once() -> None:
    """A text is new over a channel that has brought it already, and after some seconds."""
    memory = Memory()
    heard = [("a", "1"), ("b", "1"), ("a", "2"), ("b", "2"), ("a", "1"), ("b", "1"), ("c", "1")]
    told = [memory.is_new(Message(channel, text), 0) for channel, text in heard]
    assert told == [True, False, True, False, True, False, False]
    assert memory.is_new(Message("d", "1"), REMEMBERED_SECONDS + 1)


def test_memory_is_bounded() -> None:
    """Only so many messages are remembered, the newest."""
    memory = Memory()
    for number in range(REMEMBERED + 1):
        assert memory.is_new(Message("a", str(number)), 0)
    assert memory.is_new(Message("b", "0"), 0)
    assert not memory.is_new(Message("b", str(REMEMBERED)), 0)
