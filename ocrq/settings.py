"""Settings: what ocrq can be told, from where, with which limits; floor 1.

Precedence: command line option, then environment (`OCRQ_<NAME>`), then `[tool.ocrq]` of the nearest pyproject.toml
upwards, then the default. A setting that holds a secret is also read from the file that `OCRQ_<NAME>_FILE` names, and
`redis_url` from `REDIS_URL` after `OCRQ_REDIS_URL`. An empty variable counts as not set. Unknown names are errors: a
misspelt limit that is ignored would be worse than none.

A new setting is one field below; option, variable, file key, range check and `ocrq config` follow from it.
"""
# ruff: noqa: PLC0415  (imports inside functions keep the start fast: few runs need them)

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ocrq import cpus, values
from ocrq.errors import SettingsError
from ocrq.text import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "OCRQ_"
# Variables that begin like ours and are none: the test suite's own, and those that Kubernetes and Docker links set
# for a service whose name begins with "ocrq".
_NOT_SETTINGS = (
    r"OCRQ_((TEST|REQUIRE)_\w+|(\w+_)?SERVICE_(HOST|PORT)(_\w+)?"
    r"|(\w+_)?PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
_LONGEST_SHOWN = 200


def default_data_dir() -> Path:
    """Where this user's embedded server and files live when nothing else is said."""
    import platformdirs

    return Path(platformdirs.user_data_dir("ocrq", appauthor=False))


def _about(parse: values.Parser, text: str, *, secret: bool = False) -> dict[str, Any]:
    return {"parse": parse, "help": text, "secret": secret}


def _setting(default: Any, parse: values.Parser, text: str, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata=_about(parse, text, secret=secret))


_YEAR_SECONDS = 366 * 86400.0
_FOREVER = 2**53


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its default; `load_settings` fills it, `explain` tells where each value came from."""

    redis_url: str | None = _setting(None, values.redis_url, "server; none: the embedded one", secret=True)
    cache_url: str | None = _setting(None, values.redis_url, "server of caches; none: the tasks' server", secret=True)
    namespace: str = _setting("ocr", values.namespace, "first part of every key; {ocr} for Redis Cluster")
    data_dir: Path = field(
        default_factory=default_data_dir,
        metadata=_about(values.path, "folder of the embedded server and of stored files"),
    )
    files_url: str | None = _setting(None, values.files_url, "where files are; none: data_dir/files", secret=True)
    time_unit: str = _setting("s", values.choice("s", "ms"), "unit of times in task hashes")
    default_processor: str | None = _setting(None, values.text, "runs tasks that name no processor")
    lease_seconds: float = _setting(30.0, values.seconds(2, 86400), "a silent worker loses its tasks after this")
    reap_seconds: float = _setting(5.0, values.seconds(0.1, 3600), "interval at which lost tasks are looked for")
    grace_seconds: float = _setting(20.0, values.seconds(0, 86400), "time for running tasks at shutdown")
    max_crashes: int = _setting(3, values.whole(1, 1000), "dead letter after it killed its process this often")
    max_worker_deaths: int = _setting(20, values.whole(1, 1000), "dead letter after its whole worker died this often")
    salvage_seconds: float = _setting(
        0.0, values.seconds(0, _YEAR_SECONDS), "a task in no place is put back after this; 0: never"
    )
    fairness: int = _setting(20, values.whole(0, 1_000_000), "one claim in N to the longest waiting; 0: never")
    timeout_seconds: float = _setting(600.0, values.seconds(0.1, _YEAR_SECONDS), "hard deadline of a task")
    failed_days: int = _setting(30, values.whole(1, 3660), "how long a failed task is kept")
    session_idle_seconds: float = _setting(1800.0, values.seconds(0, 604800), "an unused session ends; 0: never")
    session_max_seconds: float = _setting(0.0, values.seconds(0, _YEAR_SECONDS), "any session ends; 0: never")
    session_tokens: str = _setting("plain", values.choice("plain", "sha256"), "what of a token stands in its key")
    session_time_unit: str = _setting("ms", values.choice("s", "ms"), "unit of times in sessions")
    max_bytes: int = _setting(104_857_600, values.size(1, _FOREVER), "largest document")
    max_pixels: int = _setting(50_000_000, values.whole(1, _FOREVER), "largest page in pixels")
    max_pages: int = _setting(500, values.whole(1, 1_000_000), "longest document in pages")
    max_result_bytes: int = _setting(16_777_216, values.size(1024, 512 * 2**20), "largest result")
    max_payload_bytes: int = _setting(1_048_576, values.size(1024, 512 * 2**20), "largest payload of a task")
    max_cache_bytes: int = _setting(1_048_576, values.size(1024, 512 * 2**20), "largest value in the cache")
    processes: int | None = _setting(None, values.whole(1, 4096), "worker processes; none: one per CPU")
    concurrency: int = _setting(1, values.whole(1, 1024), "tasks at once in one worker process")
    max_tasks: int = _setting(0, values.whole(0, _FOREVER), "renew a process after N tasks; 0: never")
    max_memory_mb: int = _setting(0, values.whole(0, 2**30), "renew a process above this; 0: never")
    health_file: Path | None = field(
        default=None, metadata=_about(values.path, "a worker touches it while all its loops turn; for probes")
    )
    log_format: str = _setting("auto", values.choice("auto", "text", "json"), "auto: text, coloured on a terminal")
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def files_location(self) -> str:
        """`files_url`, or the folder that stands in for it."""
        return self.files_url or str(self.data_dir / "files")

    @property
    def process_count(self) -> int:
        """`processes`, or the number of CPUs this process may use."""
        if self.processes is not None:
            return self.processes
        return cpus.usable()


class SettingRow(NamedTuple):
    """One line of `ocrq config`: `value` is ready for JSON, its secrets masked."""

    name: str
    value: str | int | float | None
    origin: str
    help: str


_FIELDS = {item.name: item for item in fields(Settings) if item.metadata}


def load_settings(
    overrides: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    start_dir: Path | None = None,
) -> Settings:
    """Collect the settings; an override of None means that the option was not given.

    Relative paths count from `start_dir` (the current folder), those in a pyproject.toml from its folder.
    Raises SettingsError for an unknown name or a value out of range, naming setting, value and origin.
    """
    start = (start_dir or Path.cwd()).absolute()
    sources = (
        *_from_pyproject(start),
        *_from_environment(os.environ if environ is None else environ, start),
        *_from_overrides(overrides or {}, start),
    )
    winners = {source.name: source for source in sources}  # the later, the stronger
    return Settings(
        **{name: _parse(source) for name, source in winners.items()},
        origins={name: source.origin for name, source in winners.items()},
    )


def explain(settings: Settings) -> list[SettingRow]:
    """Each setting with its value, secrets masked, and the place it came from."""
    rows = []
    for name, item in _FIELDS.items():
        value = getattr(settings, name)
        if isinstance(value, Path):
            value = str(value)
        if isinstance(value, str):
            value = redact(value)
        rows.append(SettingRow(name, value, settings.origins.get(name, "default"), item.metadata["help"]))
    return rows


class _Source(NamedTuple):
    name: str
    value: object
    origin: str
    base: Path


def _parse(source: _Source) -> Any:
    metadata = _FIELDS[source.name].metadata
    try:
        return metadata["parse"](source.value, source.base)
    except ValueError as error:
        # A value that is refused may be a misplaced secret, so what a URL setting got is shown masked or not at all.
        shown = redact(repr(source.value))
        if metadata["secret"] and "://" not in shown:
            shown = "a value that is not shown"
        shown = shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + "…"
        raise SettingsError(f"setting {source.name}: {error}, got {shown} (from {source.origin})") from None


def _from_overrides(overrides: Mapping[str, object], start: Path) -> Iterator[_Source]:
    for name, value in overrides.items():
        if name not in _FIELDS:
            raise _unknown(name, "option", list(_FIELDS))
        if value is not None:
            yield _Source(name, value, "command line", start)


def _from_environment(environ: Mapping[str, str], start: Path) -> Iterator[_Source]:
    known = {PREFIX + name.upper(): name for name in _FIELDS}
    files = {f"{PREFIX}{name.upper()}_FILE": name for name, item in _FIELDS.items() if item.metadata["secret"]}
    url_given = any(environ.get(key) for key in (f"{PREFIX}REDIS_URL", f"{PREFIX}REDIS_URL_FILE"))
    if environ.get("REDIS_URL") and not url_given:
        yield _Source("redis_url", environ["REDIS_URL"], "environment REDIS_URL", start)
    for key, value in environ.items():
        if not key.startswith(PREFIX) or not value or re.fullmatch(_NOT_SETTINGS, key):
            continue
        if key in known:
            yield _Source(known[key], value, f"environment {key}", start)
        elif key in files:
            if environ.get(key.removesuffix("_FILE")):
                raise SettingsError(f"both {key.removesuffix('_FILE')} and {key} are set; keep one of them")
            yield _Source(files[key], _read_secret(key, start / value), f"file {value} ({key})", start)
        else:
            raise _unknown(key, "environment variable", [*known, *files])


def _read_secret(key: str, path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{key}: cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def _from_pyproject(start: Path) -> Iterator[_Source]:
    for folder in (start, *start.parents):
        path = folder / "pyproject.toml"
        if path.is_file():
            break
    else:
        return
    import tomllib

    try:
        table = tomllib.loads(path.read_text("utf-8")).get("tool", {}).get("ocrq", {})
    except (OSError, ValueError, AttributeError) as error:
        raise SettingsError(f"cannot read [tool.ocrq] of {path}: {error}") from None
    if not isinstance(table, dict):
        raise SettingsError(f"[tool.ocrq] of {path} must be a table")
    for name, value in table.items():
        if name not in _FIELDS:
            raise _unknown(name, f"key in [tool.ocrq] of {path}:", list(_FIELDS))
        yield _Source(name, value, f"[tool.ocrq] of {path}", folder)


def _unknown(name: str, kind: str, known: list[str]) -> SettingsError:
    import difflib

    folded = {candidate.removeprefix(PREFIX).upper(): candidate for candidate in known}
    wanted = name.upper().replace("-", "_").removeprefix(PREFIX)
    close = difflib.get_close_matches(wanted, folded, n=1, cutoff=0.5)
    hint = f"did you mean {folded[close[0]]}?" if close else "`ocrq config` lists all settings"
    return SettingsError(f"unknown {kind} {name!r}; {hint}")
