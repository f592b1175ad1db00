"""What the server's access rules let the current user do, asked for with ACL DRYRUN, which carries nothing out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ... import lua
from ...broker import Broker
from ...connection import parse_url
from ...errors import OcrqError
from ...keys import Keys
from ...steps import Batch, Command
from .. import rights
from ..findings import ERROR, INFO, Finding
from . import versions
from .base import Subject, fine

_SUBJECT = re.compile(r"'([^']*)' (command|key|channel)")
_DRYRUN_SINCE = (7, 0)
_SHOWN = 4  #: reasons that are named


def permitted(subject: Subject) -> Iterator[Finding]:
    """Each group of steps: all of it allowed, none of it wanted, or, which is what hurts, a part."""
    broker = subject.broker
    product, number = versions.identify(subject.info)
    if product == "Redis" and versions.numbers(number) < _DRYRUN_SINCE:
        yield fine("rights", f"Redis {number} cannot be asked what a user may do (ACL DRYRUN came with 7.0)")
        return
    user = _user(broker)
    try:
        arities = _arities(broker)
        lacking = {name: _lacking(broker, user, group, arities) for name, group in rights.GROUPS.items()}
    except OcrqError as error:
        yield Finding(
            INFO,
            "rights",
            f"the rights of user {user} could not be looked at: {error}",
            "what a step lacks shows when it is taken. Rules for each role are in deploy/acl/",
            f"as a user who may: redis-cli ACL GETUSER {user}; compare with deploy/acl/",
        )
        return
    for name, steps in lacking.items():
        if steps and rights.GROUPS[name].first not in steps:
            yield _part(user, name, steps)
    roles = [role for role, groups in rights.ROLES.items() if not any(lacking[name] for name in groups)]
    refused = ", ".join(f"{name} ({step}: {reason})" for name, step, reason in _first_reasons(lacking))
    if not roles:
        yield Finding(
            ERROR,
            "rights",
            f"user {user} has the rights of no role; refused: {refused}",
            f"neither of {', '.join(rights.ROLES)} can do its work as this user",
            "load the rules of its role: see deploy/acl/README.md",
        )
    elif refused:
        yield fine("rights", f"user {user} has the rights of a {' and a '.join(roles)}; refused: {refused}")
    else:
        yield fine("rights", f"user {user} may take every step")


def _first_reasons(lacking: dict[str, dict[str, str]]) -> Iterator[tuple[str, str, str]]:
    for name, steps in lacking.items():
        if steps:
            step = next(iter(steps))
            yield name, step, steps[step]


def _part(user: str, name: str, steps: dict[str, str]) -> Finding:
    named = [f"{step} ({reason})" for step, reason in list(steps.items())[:_SHOWN]]
    more = f" and {len(steps) - _SHOWN} more" if len(steps) > _SHOWN else ""
    wanted = dict.fromkeys(_right(reason) for reason in steps.values())
    return Finding(
        ERROR,
        "rights",
        f"user {user} may take some steps of {name}, but not {', '.join(named)}{more}",
        "work is begun that cannot be brought to its end",
        f"redis-cli ACL SETUSER {user} {' '.join(list(wanted)[:_SHOWN])}; all of it is in deploy/acl/",
    )


def _user(broker: Broker) -> str:
    """Who we are; by the URL where the server does not tell."""
    try:
        return str(broker.do(("ACL", "WHOAMI")))
    except OcrqError:
        return str(parse_url(broker.url).options.get("username", "default")) if broker.url else "default"


def _arities(broker: Broker) -> dict[str, int]:
    """Words that each command of the scripts has at least: DRYRUN wants whole commands."""
    names = sorted({word for group in rights.GROUPS.values() for name in group.scripts for word in _inner(name)})
    told: Any = broker.do(("COMMAND", "INFO", *(name.partition("|")[0] for name in names)))
    return {name: abs(int(told[name.partition("|")[0]]["arity"])) + name.count("|") for name in names}


def _lacking(broker: Broker, user: str, group: rights.Group, arities: dict[str, int]) -> dict[str, str]:
    """Step to why it is refused, of those that are."""
    probes = [(name, probe) for name in group.scripts for probe in _probes(name, broker.keys, arities)]
    probes += [(text.split()[0], tuple(rights.words_of(text, broker.keys))) for text in group.commands]
    replies = broker.do(Batch([("ACL", "DRYRUN", user, *probe) for _, probe in probes]))
    lacking: dict[str, str] = {}
    for (step, _), reply in zip(probes, replies, strict=True):
        if isinstance(reply, OcrqError):
            raise reply
        if reply not in ("OK", True, b"OK"):
            lacking.setdefault(step, _reason(str(reply)))
    return lacking


def _probes(name: str, keys: Keys, arities: dict[str, int]) -> Iterator[Command]:
    """What a transition does, as commands that can be asked about one by one."""
    touched = rights.sample_keys(name, keys)
    script = lua.script(name)
    yield ("EVALSHA", script.sha, len(touched), *touched)
    yield ("EVAL", "return 1", len(touched), *touched)
    for word in sorted(_inner(name)):
        words = [*word.split("|"), touched[0]]
        yield tuple(words + ["1"] * (arities[word] - len(words)))[: arities[word]]
    for channel in sorted(rights.of_script(name).channels):
        yield ("PUBLISH", getattr(keys, channel) + ("x" if channel.endswith("_prefix") else ""), "x")


def _inner(name: str) -> frozenset[str]:
    return rights.of_script(name).commands - {"eval", "evalsha", "publish"}


def _reason(reply: str) -> str:
    """`publish` or `~ocr:task:dead`, from what the server says."""
    found = _SUBJECT.search(reply)
    return reply if found is None else {"command": "", "key": "key ", "channel": "channel "}[found[2]] + found[1]


def _right(reason: str) -> str:
    """The rule that grants it."""
    for prefix, mark in (("key ", "~"), ("channel ", "&")):
        if reason.startswith(prefix):
            return f"'{mark}{reason.removeprefix(prefix)}'"
    return f"+{reason}"
