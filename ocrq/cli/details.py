"""One task in full."""

from __future__ import annotations

import json
from typing import Any

from ..task import Task, read_result
from ..text import printable
from .formats import moment

_TIMES = ("created_at", "started_at", "completed_at")
_PLAIN = ("user_id", "file_id", "worker_id", "priority", "attempts", "deliveries", "crashes")
_LONGEST_TEXT = 400
_MARGIN = 16


def as_json(task: Task, result: str | None) -> dict[str, Any]:
    """The raw hash, what it means, and the whole result."""
    names = ("processor", "queue", *_PLAIN, *_TIMES, "error_type", "error", "payload", "history")
    parsed = {name: getattr(task, name) for name in names}
    return {
        "task_id": task.id,
        "status": task.last_status,
        "parsed": parsed,
        "fields": dict(task.fields),
        "result": None if result is None else read_result(result),
    }


def as_text(task: Task, result: str | None, *, now: float) -> str:
    """For people; `now` is unix seconds."""
    progress = " ".join(task.fields.get(name, "") for name in ("progress", "progress_message")).strip()
    lines = [
        _line("task", task.id),
        _line(
            "status", f"{task.last_status}{f' ({progress})' if progress and task.last_status == 'processing' else ''}"
        ),
        _line("processor", task.processor or "- (the worker's default)"),
        _line("queue", task.queue),
        *(_line(name, _number(getattr(task, name))) for name in _PLAIN if getattr(task, name)),
        *(_line(name, moment(getattr(task, name), now)) for name in _TIMES if getattr(task, name) is not None),
    ]
    if task.payload:
        lines.append(_line("payload", _shortened(json.dumps(task.payload, ensure_ascii=False))))
    if task.error:
        lines.append(_line("error", f"{task.error_type}: {task.error}"))
    lines.extend(_line(f"attempt {entry.get('attempt', '?')}", _attempt(entry, now)) for entry in task.history)
    return "".join(lines) + _result(task, result)


def _attempt(entry: dict[str, Any], now: float) -> str:
    at = entry.get("at")
    said = ": ".join(str(entry[name]) for name in ("error_type", "error") if entry.get(name))
    when = moment(at / 1000 if at > 1e11 else at, now) if isinstance(at, (int, float)) else "-"
    return f"{when} {entry.get('outcome', '')} on {entry.get('worker', '?')}: {said}"


def _result(task: Task, result: str | None) -> str:
    if result is None:
        return _line("result", "not kept any more, or none was returned") if task.last_status == "completed" else ""
    content = read_result(result)
    if not isinstance(content, dict):
        return _line("result", _shortened(result))
    shown = [f"{name} {_number(value)}" for name, value in content.items() if isinstance(value, (int, float))]
    text = _line("result", ", ".join(shown) or _shortened(result))
    if isinstance(content.get("text"), str):
        excerpt = printable(content["text"][:_LONGEST_TEXT], multiline=True).strip()
        more = "\n…" if len(content["text"]) > _LONGEST_TEXT else ""
        text += _line("text", f"{len(content['text']):,} characters") + f"\n{excerpt}{more}\n"
    return text


def _line(name: str, value: str) -> str:
    return f"{name:<{_MARGIN}}{printable(value)}\n"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"
