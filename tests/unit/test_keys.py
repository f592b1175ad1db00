"""Key names: the documented ones exactly, and no way for a name to lead elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ocrq
from ocrq import keys as module
from ocrq.errors import UsageError
from ocrq.keys import Keys, checked_queue


def test_documented_names() -> None:
    """The specification's keys and channels, to the letter."""
    keys = Keys()
    assert {
        keys.queue(): "ocr:task:queue",
        keys.priority(): "ocr:task:priority",
        keys.data("123"): "ocr:task:data:123",
        keys.total: "ocr:stats:tasks:total",
        keys.completed: "ocr:stats:tasks:completed",
        keys.failed: "ocr:stats:tasks:failed",
        keys.pending: "ocr:stats:tasks:pending",
        keys.users_active: "ocr:stats:users:active",
        keys.daily("2024-10-14"): "ocr:stats:daily:2024-10-14",
        keys.result("1"): "ocr:cache:result:1",
        keys.session_prefix + "t": "ocr:session:t",
        keys.notifications: "ocr:notifications",
        keys.user_channel("u"): "ocr:notifications:user:u",
        keys.task_channel("t"): "ocr:notifications:task:t",
    }.items() <= {value: value for value in _every_name(keys)}.items()


def _every_name(keys: Keys) -> list[str]:
    made = [keys.queue(), keys.priority(), keys.data("123"), keys.daily("2024-10-14"), keys.result("1")]
    made += [keys.session_prefix + "t", keys.user_channel("u"), keys.task_channel("t")]
    return made + [getattr(keys, name) for name in Keys.__dataclass_fields__ if name != "namespace"]


def test_our_own_names() -> None:
    """Named queues, and the two names that foreign code has taken are not used."""
    keys = Keys("{shop}")
    assert (keys.queue("scans"), keys.priority("scans")) == ("{shop}:task:queue:scans", "{shop}:task:priority:scans")
    assert (keys.held("s"), keys.stop("s")) == ("{shop}:worker:held:s", "{shop}:worker:stop:s")
    assert keys.worker("w") == "{shop}:worker:w"
    assert all(name.startswith("{shop}:") for name in _every_name(keys))
    assert not {"ocr:task:processing", "ocr:task:results"} & set(_every_name(Keys()))
    assert len(set(module._NAMES.values())) == len(module._NAMES)


@pytest.mark.parametrize("namespace", ["", "a b", "a:b", "{a", "a}", "{}", "{a}b", "*", "a\n", "é"])
def test_no_namespace(namespace: str) -> None:
    """A namespace that could be a pattern, or be cut in two, is refused."""
    with pytest.raises(UsageError, match="namespace"):
        Keys(namespace)


@given(st.text(max_size=6))
def test_queue_names(name: str) -> None:
    """A queue's name can lead to no other key."""
    if re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        assert checked_queue(name) == name
    else:
        with pytest.raises(UsageError, match="queue name"):
            Keys().queue(name)


@pytest.mark.parametrize("name", ["q" * 65, None, 5, b"q", "q\n"])
def test_no_queue_name(name: Any) -> None:
    """Nor anything longer, or that is no text."""
    with pytest.raises(UsageError, match="queue name"):
        checked_queue(name)


def test_lifetimes() -> None:
    """The specification's table of lifetimes, in seconds."""
    assert (module.TASK_SECONDS, module.SESSION_SECONDS, module.RESULT_CACHE_SECONDS) == (86400, 604800, 3600)
    assert (module.USER_CACHE_SECONDS, module.FILE_CACHE_SECONDS, module.DAILY_STATS_SECONDS) == (300, 600, 2592000)


def test_the_scripts_know_the_same_lifetimes() -> None:
    """lib.lua spells three of them a second time."""
    library = (Path(ocrq.__file__).parent / "lua" / "lib.lua").read_text("utf-8")
    assert f"= '{module.TASK_SECONDS}', '{module.DAILY_STATS_SECONDS}', '{module.HELD_SECONDS}'\n" in library


def test_every_name_is_described() -> None:
    """The module's docstring lists every key; a new one is described where it is named."""
    told = re.findall(r"^ {4}(ocr:\S+)", module.__doc__ or "", re.MULTILINE)
    patterns = []
    for pattern in map(re.escape, told):
        for mark, meaning in ((r"\[", "(?:"), (r"\]", ")?"), (r"\|", "|")):
            pattern = pattern.replace(mark, meaning)  # noqa: PLW2901  # step by step
        patterns.append(re.sub(r"\\\{\w+\\\}", "[^:]+", pattern))
    for rest in module._NAMES.values():
        name = f"ocr:{rest}" + ("x" if rest.endswith(":") else "")
        is_prefix = rest.endswith(":") and any(key.replace("[", "").startswith(f"ocr:{rest}") for key in told)
        assert is_prefix or any(re.fullmatch(pattern, name) for pattern in patterns), name
