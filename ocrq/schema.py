"""The schema as data: every key, hash field, status and message that the platform's programs share. Floor 1, no I/O.

`ocrq schema` prints it, `ocrq schema check` and `ocrq doctor` compare a live server with it, and the rights in
`deploy/acl/` follow from it. Names of keys and lifetimes are those of `ocrq.keys`, statuses those of `ocrq.task`;
tests prove that nothing is missing here and that docs/schema.md and the scripts say the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import keys as names
from .keys import Keys
from .settings import Settings
from .task import CANCELLED, COMPLETED, FAILED, LIST_PRIORITY, MILLISECONDS_FROM, STATUSES

#: The first number changes when a program that follows the schema would have to change, the second with additions.
VERSION = "1.0"

DOCUMENTED, OURS, FOREIGN = "documented", "ours", "foreign"
PRODUCER, WORKER, WEB = "producer", "worker", "backend"

#: What a producer may write for a status of ours.
STATUS_ALIASES = {"queued": "pending"}

_DAY = 86400
_NAME = r"[A-Za-z0-9_.-]{1,64}"
_PLACEHOLDERS = {"queue": _NAME, "kind": _NAME, "date": r"\d{4}-\d{2}-\d{2}"}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a hash, or a member of a JSON object.

    `form`: text, json, status, time, count (a whole number from 0), number, fraction (0 to 1). `unit` of a time: s, ms,
    or the setting that decides what we write; readers accept both.
    """

    name: str
    form: str
    origin: str
    writers: tuple[str, ...]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, or all keys of a pattern.

    `name` is the attribute of `Keys`, `suffix` what follows it. `seconds`: the longest lifetime; None: no expiry.
    `after`: the lifetime from a status on, for task hashes. `secret`: who can read it can act as somebody else, or sees
    personal data. `fields` of a hash; `members` of the JSON objects that it holds.
    """

    name: str
    suffix: str
    type: str
    origin: str
    writers: tuple[str, ...]
    what: str
    seconds: int | None = None
    after: Mapping[str, int] = field(default_factory=dict)
    secret: bool = False
    fields: tuple[Field, ...] = ()
    members: tuple[Field, ...] = ()

    @property
    def lets_in(self) -> bool:
        """Whether who knows the key's name can act as somebody else."""
        return self.suffix == "{token}"

    def pattern(self, keys: Keys) -> str:
        """The key with its placeholders, such as `ocr:task:data:{id}`."""
        return f"{getattr(keys, self.name)}{self.suffix}"


@dataclass(frozen=True, slots=True)
class Message:
    """A notification: its type, the status that it announces, and its members beside those that all have."""

    type: str
    status: str
    when: str
    members: tuple[Field, ...] = ()


def _fields(text: str, form: str, origin: str, *writers: str, unit: str = "") -> tuple[Field, ...]:
    return tuple(Field(name, form, origin, writers, unit) for name in text.split())


TASK_FIELDS = (
    *_fields("user_id file_id", "text", DOCUMENTED, PRODUCER),
    *_fields("status", "status", DOCUMENTED, PRODUCER, WORKER),
    *_fields("priority", "number", DOCUMENTED, PRODUCER, WORKER),
    *_fields("created_at", "time", DOCUMENTED, PRODUCER, unit="time_unit"),
    *_fields("started_at completed_at", "time", DOCUMENTED, WORKER, unit="time_unit"),
    *_fields("attempts", "count", DOCUMENTED, WORKER),
    *_fields("worker_id", "text", DOCUMENTED, WORKER),
    *_fields("processor queue", "text", OURS, PRODUCER, WORKER),
    *_fields("payload", "json", OURS, PRODUCER),
    *_fields("traceparent tracestate", "text", OURS, PRODUCER),
    *_fields("deliveries crashes worker_deaths result_bytes", "count", OURS, WORKER),
    *_fields("error error_type history progress_message", "text", OURS, WORKER),
    *_fields("progress confidence", "fraction", OURS, WORKER),
    *_fields("word_count page_count", "count", OURS, WORKER),
    *_fields("processing_time_ms", "number", OURS, WORKER, unit="ms"),
)
DAILY_FIELDS = (
    *_fields("tasks_completed tasks_failed", "count", DOCUMENTED, WORKER, WEB),
    *_fields("avg_processing_time", "number", DOCUMENTED, WORKER, WEB, unit="ms"),
    *_fields("processing_ms", "number", OURS, WORKER, unit="ms"),
)
WORKER_FIELDS = (
    *_fields("host version queues running", "text", OURS, WORKER),
    *_fields("pid processes concurrency busy", "count", OURS, WORKER),
    *_fields("started_at beat_at", "time", OURS, WORKER, unit="ms"),
)
REASON_MEMBERS = (
    *_fields("reason queue priority", "text", OURS, WORKER),
    *_fields("first_seen", "time", OURS, WORKER, unit="ms"),
)
SESSION_MEMBERS = (
    *_fields("user_id email role ip_address", "text", DOCUMENTED, WEB),
    *_fields("created_at last_activity", "time", DOCUMENTED, WEB, unit="session_time_unit"),
)
MESSAGE_MEMBERS = (
    *_fields("type task_id user_id", "text", DOCUMENTED, WORKER, WEB),
    *_fields("status", "status", DOCUMENTED, WORKER, WEB),
    *_fields("timestamp", "time", DOCUMENTED, WORKER, WEB, unit="time_unit"),
)

_TASKS, _BOTH = (PRODUCER, WORKER), (WORKER, WEB)
_PRODUCER, _WORKER, _WEB = (PRODUCER,), (WORKER,), (WEB,)
KEYS = (
    Key("list_prefix", "", "list", DOCUMENTED, _TASKS, "waiting tasks of the default queue, priority 5"),
    Key("list_prefix", ":{queue}", "list", OURS, _TASKS, "the same of a named queue"),
    Key("priority_prefix", "", "zset", DOCUMENTED, _TASKS, "waiting tasks by priority, higher first"),
    Key("priority_prefix", ":{queue}", "zset", OURS, _TASKS, "the same of a named queue"),
    Key(
        "data_prefix",
        "{id}",
        "hash",
        DOCUMENTED,
        _TASKS,
        "one task",
        after={COMPLETED: names.TASK_SECONDS, CANCELLED: names.TASK_SECONDS, FAILED: 30 * _DAY},
        fields=TASK_FIELDS,
    ),
    Key("scheduled", "", "zset", OURS, _TASKS, "id by the time it is due (ms)"),
    Key("leases", "", "zset", OURS, _WORKER, "id of a running task by the end of its lease (ms)"),
    Key("dead", "", "zset", OURS, _WORKER, "dead letters by time of death (ms)"),
    Key("quarantine", "", "zset", OURS, _WORKER, "elements that cannot be run, by time (ms)"),
    Key("reasons", "", "hash", OURS, _WORKER, "quarantined element to JSON: why", members=REASON_MEMBERS),
    Key("paused", "", "set", OURS, _PRODUCER, "queue:{queue} and processor:{processor} that are paused"),
    Key("queues", "", "set", OURS, _PRODUCER, "names of the named queues"),
    Key("guard", "", "none", OURS, (), "never written; every script declares it"),
    Key(
        "watch", "", "string", OURS, _WORKER, "id of the worker that looks out for stranded tasks", names.WATCH_SECONDS
    ),
    Key("workers", "", "zset", OURS, _WORKER, "worker id by last heartbeat (ms)"),
    Key(
        "worker_prefix",
        "{worker}",
        "hash",
        OURS,
        _WORKER,
        "a worker as it describes itself",
        names.WORKER_SECONDS,
        fields=WORKER_FIELDS,
    ),
    Key("held_prefix", "{slot}", "hash", OURS, _WORKER, "what one worker process holds", names.HELD_SECONDS),
    Key("stop_prefix", "{slot}", "set", OURS, _PRODUCER, "ids that a process is to stop", names.STOP_SECONDS),
    Key("total", "", "string", DOCUMENTED, _PRODUCER, "tasks ever enqueued"),
    Key("completed", "", "string", DOCUMENTED, _WORKER, "tasks ever completed"),
    Key("failed", "", "string", DOCUMENTED, _WORKER, "tasks that ever failed for good"),
    Key("pending", "", "string", DOCUMENTED, _TASKS, "tasks waiting"),
    Key("users_active", "", "string", DOCUMENTED, (WEB, WORKER), "users with a session"),
    Key(
        "active_users",
        "",
        "zset",
        OURS,
        (WEB, WORKER),
        "user id by the end of the last session (ms)",
        names.SESSION_SECONDS,
        secret=True,
    ),
    Key(
        "user_sessions_prefix",
        "{user}",
        "zset",
        OURS,
        _WEB,
        "sessions of a user by their end (ms)",
        names.SESSION_SECONDS,
        secret=True,
    ),
    Key(
        "daily_prefix",
        "{date}",
        "hash",
        DOCUMENTED,
        _BOTH,
        "statistics of one UTC date",
        names.DAILY_STATS_SECONDS,
        fields=DAILY_FIELDS,
    ),
    Key("result_prefix", "{id}", "string", DOCUMENTED, _WORKER, "result of a task, JSON", names.RESULT_CACHE_SECONDS),
    Key(
        "cache_prefix",
        "user:{id}",
        "string",
        DOCUMENTED,
        _WEB,
        "data of a user",
        names.USER_CACHE_SECONDS,
        secret=True,
    ),
    Key(
        "cache_prefix",
        "file:{id}",
        "string",
        DOCUMENTED,
        _WEB,
        "data of a file",
        names.FILE_CACHE_SECONDS,
        secret=True,
    ),
    Key(
        "cache_prefix",
        "{kind}:{id}",
        "string",
        OURS,
        _WEB,
        "a value of a kind that a program declares",
        seconds=30 * _DAY,
        secret=True,
    ),
    Key(
        "loading_prefix",
        "{kind}:{id}",
        "string",
        OURS,
        _WEB,
        "who is loading that value",
        seconds=30 * _DAY,
        secret=True,
    ),
    Key(
        "session_prefix",
        "{token}",
        "string",
        DOCUMENTED,
        _WEB,
        "a user's session, JSON",
        names.SESSION_SECONDS,
        secret=True,
        members=SESSION_MEMBERS,
    ),
    *(
        Key("namespace", f":{name}{rest}", "any", FOREIGN, _WEB, "a foreign worker's own")
        for name in names.FOREIGN_NAMES
        for rest in ("", ":{id}")
    ),
    Key("notifications", "", "channel", DOCUMENTED, _BOTH, "every notification"),
    Key("user_channel_prefix", "{id}", "channel", DOCUMENTED, _BOTH, "notifications for one user"),
    Key("task_channel_prefix", "{id}", "channel", DOCUMENTED, _BOTH, "notifications about one task"),
)

_ERROR = _fields("error error_type", "text", OURS, WORKER)
_ATTEMPTS = _fields("attempts", "count", OURS, WORKER)
MESSAGES = (
    Message("task_completed", COMPLETED, "the result was accepted", _fields("result", "json", DOCUMENTED, WORKER)),
    Message("task_failed", FAILED, "dead letter", (*_ERROR, *_ATTEMPTS)),
    Message(
        "task_retry",
        "scheduled",
        "failed, and will be tried again",
        (*_ERROR, *_ATTEMPTS, *_fields("retry_in", "number", OURS, WORKER, unit="s")),
    ),
    Message(
        "task_progress",
        "processing",
        "the handler reported progress",
        (*_fields("progress", "fraction", OURS, WORKER), *_fields("message", "text", OURS, WORKER)),
    ),
    Message("task_cancelled", CANCELLED, "the task was cancelled"),
)


class Matcher:
    """Tells which entry of the catalogue a key belongs to."""

    def __init__(self, keys: Keys) -> None:
        entries = [entry for entry in KEYS if entry.type != "channel"]
        self._whole = {entry.pattern(keys): entry for entry in entries if "{" not in entry.suffix}
        self._others = [(_fixed_part(entry, keys), _rest(entry), entry) for entry in entries if "{" in entry.suffix]
        self._others.sort(key=lambda item: len(item[0]), reverse=True)  # the most special first

    def __call__(self, key: str) -> tuple[Key | None, str]:
        """The entry and the part of the key that is not of the pattern; (None, "") for a key that nobody knows."""
        if key in self._whole:
            return self._whole[key], ""
        for fixed, rest, entry in self._others:
            if key.startswith(fixed) and rest.fullmatch(key, len(fixed)):
                return entry, key[len(fixed) :]
        return None, ""


def _fixed_part(entry: Key, keys: Keys) -> str:
    return str(getattr(keys, entry.name)) + entry.suffix.partition("{")[0]


def _rest(entry: Key) -> re.Pattern[str]:
    """What may follow the fixed part; a placeholder without a rule takes anything."""
    words = re.split(r"\{(\w+)\}", entry.suffix)
    rules = [re.escape(word) if index % 2 == 0 else _PLACEHOLDERS.get(word, ".+") for index, word in enumerate(words)]
    return re.compile("".join(rules[1:]), re.DOTALL)


def lifetime(entry: Key, status: str, failed_days: int) -> int | None:
    """Seconds that a key of this entry may live at most, a task's with that status; None: it must not expire."""
    if entry.after and status == FAILED:
        return failed_days * _DAY
    return entry.after.get(status, entry.seconds)


def unit_of(item: Field, settings: Settings) -> str:
    """In what a time or duration should be: s or ms."""
    by_setting = {"time_unit": settings.time_unit, "session_time_unit": settings.session_time_unit}
    return by_setting.get(item.unit, item.unit)


def as_data(settings: Settings) -> dict[str, Any]:
    """The whole schema of a namespace as plain data, ready for JSON."""
    keys = Keys(settings.namespace)
    return {
        "schema": "ocrq",
        "version": VERSION,
        "namespace": keys.namespace,
        "time_unit": settings.time_unit,
        "session_time_unit": settings.session_time_unit,
        "milliseconds_from": int(MILLISECONDS_FROM),
        "list_priority": LIST_PRIORITY,
        "statuses": list(STATUSES),
        "status_aliases": dict(STATUS_ALIASES),
        "keys": [_key_data(entry, keys, settings) for entry in KEYS],
        "messages": [
            {
                "type": message.type,
                "status": message.status,
                "when": message.when,
                "members": list(_field_data((*MESSAGE_MEMBERS, *message.members), settings)),
            }
            for message in MESSAGES
        ],
    }


def _key_data(entry: Key, keys: Keys, settings: Settings) -> dict[str, Any]:
    data: dict[str, Any] = {
        "key": entry.pattern(keys),
        "type": entry.type,
        "origin": entry.origin,
        "written_by": list(entry.writers),
        "what": entry.what,
    }
    if entry.type != "channel":
        data["lifetime_seconds"] = entry.seconds
    if entry.secret:
        data["secret"] = True
    if entry.after:
        data["lifetime_seconds_after"] = {
            status: lifetime(entry, status, settings.failed_days) for status in entry.after
        }
    for name, fields in (("fields", entry.fields), ("members", entry.members)):
        if fields:
            data[name] = list(_field_data(fields, settings))
    return data


def _field_data(fields: tuple[Field, ...], settings: Settings) -> Iterator[dict[str, Any]]:
    for item in fields:
        unit = {"unit": unit_of(item, settings)} if item.unit else {}
        yield {"name": item.name, "type": item.form, "origin": item.origin, "written_by": list(item.writers), **unit}
