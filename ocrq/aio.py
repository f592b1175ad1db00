"""The doors of ocrq for an event loop: under the same names, with the same methods, to be awaited. Floor 4."""

from __future__ import annotations

from .cache import AsyncCache as Cache
from .notifications import AsyncNotifications as Notifications
from .queue import AsyncQueue as Queue
from .sessions import AsyncSessionStore as SessionStore
from .statistics import AsyncStats as Stats
from .task import AsyncTask as Task

__all__ = ["Cache", "Notifications", "Queue", "SessionStore", "Stats", "Task"]
