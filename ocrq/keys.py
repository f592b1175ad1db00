"""Every Redis key, channel and lifetime that ocrq reads or writes; nothing else spells one. Floor 1.

With the default namespace `ocr`. *documented* marks the platform's own specification, which other programs share;
the rest is ours. docs/schema.md says the same to people who write producers and consumers in other languages.

    ocr:task:queue                  list     documented; waiting ids of the default queue, LPUSH in, RPOP out
    ocr:task:queue:{queue}          list     the same for a named queue
    ocr:task:priority[:{queue}]     zset     documented; waiting ids by priority, higher first
    ocr:task:data:{id}              hash     documented; one task
    ocr:task:scheduled              zset     id by due time (server ms): delayed, or backing off after a failure
    ocr:task:leases                 zset     id by lease deadline (server ms): claimed, being processed
    ocr:task:dead                   zset     id by time of death (server ms): failed for good
    ocr:task:quarantine             zset     element by time it counts as lost (server ms): not understood as a task
    ocr:task:quarantine:reasons     hash     element -> JSON: reason, queue, priority, first_seen
    ocr:task:paused                  set      queue:{queue} and processor:{processor} of which nothing is claimed
    ocr:task:guard                  none     never written; declared by each script, see `ocrq.lua`
    ocr:task:queues                 set      names of the named queues that were ever used
    ocr:task:watch                  string   id of the worker that looks out for stranded tasks
    ocr:workers                     zset     worker id by last heartbeat (server ms)
    ocr:worker:{worker}             hash     one worker as it describes itself
    ocr:worker:held:{slot}          hash     id -> "token:nonce:rank" of what one worker process holds; "" -> last nonce
    ocr:worker:stop:{slot}          set      ids that the process must stop working on: cancelled while running
    ocr:stats:tasks:{counter}       string   documented; total, completed, failed, pending
    ocr:stats:users:active          string   documented
    ocr:stats:daily:{date}          hash     documented; UTC date
    ocr:cache:{kind}:{id}           string   documented; user, file, result, and kinds that a program declares
    ocr:loading:{kind}:{id}         string   token of the one that is loading that value for the cache
    ocr:session:{token}             string   documented
    ocr:user:sessions:{user}        zset     session (what its key ends in) by until when it may be used (server ms)
    ocr:user:active                 zset     user id by until when one of the sessions may be used (server ms)
    ocr:notifications[:user:{id}|:task:{id}] channel   documented
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .errors import UsageError

DEFAULT_NAMESPACE = "ocr"
DEFAULT_QUEUE = "default"

# Lifetimes in seconds, as the specification's table has them.
TASK_SECONDS = 24 * 3600  #: a finished task's hash
SESSION_SECONDS = 7 * 24 * 3600
USER_CACHE_SECONDS = 5 * 60
FILE_CACHE_SECONDS = 10 * 60
RESULT_CACHE_SECONDS = 3600
DAILY_STATS_SECONDS = 30 * 24 * 3600
# Lifetimes of our own keys.
HELD_SECONDS = 24 * 3600  #: renewed with each claim; the leases are the truth, this only finds them faster
WORKER_SECONDS = 120  #: a worker's self-description, renewed with each heartbeat
STOP_SECONDS = 3600
WATCH_SECONDS = 60  #: a worker's turn to look out for stranded tasks, renewed with each page

#: What foreign programs keep under the namespace for themselves; ocrq only knows the names.
FOREIGN_NAMES = ("task:processing", "task:results")
LONGEST_ID = 512  #: characters of an id that becomes part of a key or channel

_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]+|\{[A-Za-z0-9_.-]+\}")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Keys:
    """The key names of one namespace. Attributes are whole keys, `…_prefix` attributes want an id appended."""

    namespace: str = DEFAULT_NAMESPACE
    scheduled: str = field(init=False)
    leases: str = field(init=False)
    dead: str = field(init=False)
    quarantine: str = field(init=False)
    reasons: str = field(init=False)
    queues: str = field(init=False)
    guard: str = field(init=False)
    paused: str = field(init=False)
    watch: str = field(init=False)
    workers: str = field(init=False)
    total: str = field(init=False)
    completed: str = field(init=False)
    failed: str = field(init=False)
    pending: str = field(init=False)
    users_active: str = field(init=False)
    active_users: str = field(init=False)
    notifications: str = field(init=False)
    list_prefix: str = field(init=False)
    priority_prefix: str = field(init=False)
    data_prefix: str = field(init=False)
    worker_prefix: str = field(init=False)
    held_prefix: str = field(init=False)
    stop_prefix: str = field(init=False)
    daily_prefix: str = field(init=False)
    result_prefix: str = field(init=False)
    cache_prefix: str = field(init=False)
    loading_prefix: str = field(init=False)
    session_prefix: str = field(init=False)
    user_sessions_prefix: str = field(init=False)
    channel_prefix: str = field(init=False)
    user_channel_prefix: str = field(init=False)
    task_channel_prefix: str = field(init=False)

    def __post_init__(self) -> None:
        if not _NAMESPACE.fullmatch(self.namespace):
            raise UsageError(
                f"namespace {self.namespace!r} is not usable; take letters, digits, '_', '.', '-', "
                "with one pair of braces around it all for Redis Cluster, as in '{ocr}'"
            )
        for name, rest in _NAMES.items():
            object.__setattr__(self, name, f"{self.namespace}:{rest}")

    def queue(self, name: str = DEFAULT_QUEUE) -> str:
        """The list of a queue."""
        return self.list_prefix if name == DEFAULT_QUEUE else f"{self.list_prefix}:{checked_queue(name)}"

    def priority(self, name: str = DEFAULT_QUEUE) -> str:
        """The sorted set of a queue."""
        return self.priority_prefix if name == DEFAULT_QUEUE else f"{self.priority_prefix}:{checked_queue(name)}"

    def data(self, task_id: str) -> str:
        """The hash of a task."""
        return self.data_prefix + task_id

    def result(self, task_id: str) -> str:
        """The cached result of a task."""
        return self.result_prefix + task_id

    def cached(self, kind: str, cached_id: str = "") -> str:
        """A cached value; without an id what all of the kind begin with."""
        return f"{self.cache_prefix}{checked_kind(kind)}:{cached_id}"

    def loading(self, kind: str, cached_id: str = "") -> str:
        """The right to load that value. Not under `ocr:cache:`, where others look for values."""
        return f"{self.loading_prefix}{checked_kind(kind)}:{cached_id}"

    def held(self, slot: str) -> str:
        """What one worker process holds."""
        return self.held_prefix + slot

    def stop(self, slot: str) -> str:
        """What one worker process must stop working on."""
        return self.stop_prefix + slot

    def worker(self, worker_id: str) -> str:
        """A worker's self-description."""
        return self.worker_prefix + worker_id

    def daily(self, date: str) -> str:
        """The statistics of one UTC date, `YYYY-MM-DD`."""
        return self.daily_prefix + date

    def session(self, stored_as: str) -> str:
        """A session, by its token or what stands for the token."""
        return self.session_prefix + stored_as

    def user_sessions(self, user_id: str) -> str:
        """The index of a user's sessions."""
        return self.user_sessions_prefix + user_id

    def user_channel(self, user_id: str) -> str:
        """Notifications for one user."""
        return self.user_channel_prefix + user_id

    def task_channel(self, task_id: str) -> str:
        """Notifications about one task."""
        return self.task_channel_prefix + task_id


_NAMES = {
    "scheduled": "task:scheduled",
    "leases": "task:leases",
    "dead": "task:dead",
    "quarantine": "task:quarantine",
    "reasons": "task:quarantine:reasons",
    "queues": "task:queues",
    "guard": "task:guard",
    "paused": "task:paused",
    "watch": "task:watch",
    "workers": "workers",
    "total": "stats:tasks:total",
    "completed": "stats:tasks:completed",
    "failed": "stats:tasks:failed",
    "pending": "stats:tasks:pending",
    "users_active": "stats:users:active",
    "active_users": "user:active",
    "notifications": "notifications",
    "list_prefix": "task:queue",
    "priority_prefix": "task:priority",
    "data_prefix": "task:data:",
    "worker_prefix": "worker:",
    "held_prefix": "worker:held:",
    "stop_prefix": "worker:stop:",
    "daily_prefix": "stats:daily:",
    "result_prefix": "cache:result:",
    "cache_prefix": "cache:",
    "loading_prefix": "loading:",
    "session_prefix": "session:",
    "user_sessions_prefix": "user:sessions:",
    "channel_prefix": "notifications:",
    "user_channel_prefix": "notifications:user:",
    "task_channel_prefix": "notifications:task:",
}


def checked_queue(name: str) -> str:
    """The queue's name if it can be part of a key. Raises UsageError."""
    return _checked("queue name", name)


def checked_kind(name: str) -> str:
    """The name of a kind of cached values if it can be part of a key. Raises UsageError."""
    return _checked("kind", name)


def checked_id(what: str, value: str) -> str:
    """An id of a user or task if it can be part of a key or channel. Raises UsageError, naming `what`."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID:
        raise UsageError(f"{what} {value!r:.200} is not usable; take a text of 1 to {LONGEST_ID} characters")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise UsageError(f"{what} {value!r} holds half of a surrogate pair, which is no character") from None
    return value


def _checked(what: str, name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{what} {name!r} is not usable; take 1 to 64 letters, digits, '_', '.' or '-'")
    return name
