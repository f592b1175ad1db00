"""The plugins of this host: whether each can be imported, and who reads what names no processor."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint

from ...documents import Limits
from ...processor import Registry, as_processor, plugins
from ...settings import Settings
from ..findings import ERROR, INFO, WARNING, Finding
from .base import fine

DEFAULT_ENGINE = "ocrq-rapidocr"


def problem(entry: EntryPoint, settings: Settings, *, load: bool) -> str:
    """Why the plugin cannot be used; empty when it can. `load`: its models too."""
    try:
        found = as_processor(entry, _limits(settings))
        if load:
            found.load()
    except Exception as error:  # whatever a plugin raises is its problem, and what was asked for
        return str(error) or type(error).__name__
    return ""


def importable(settings: Settings) -> Iterator[Finding]:
    """Every installed plugin, imported; models are not loaded."""
    names = sorted(plugins())
    for name in names:
        if trouble := problem(plugins()[name], settings, load=False):
            yield Finding(
                ERROR,
                "plugin",
                trouble,
                f"tasks of the processor {name} go to quarantine on this host",
                "install what it misses, or uninstall the plugin; ocrq plugins --check",
            )
    if not names:
        yield Finding(
            INFO,
            "plugin",
            "no engine is installed on this host",
            "its workers run handlers of your own modules only",
            f"pip install {DEFAULT_ENGINE}",
        )
        return
    chosen = Registry(_limits(settings)).default(settings.default_processor)
    if settings.default_processor and settings.default_processor not in names:
        yield Finding(
            WARNING,
            "default-processor",
            f"default_processor is {chosen}, and no installed plugin has that name",
            "unless a module of yours declares it (ocrq worker -I), tasks that name no processor go to quarantine",
            f"OCRQ_DEFAULT_PROCESSOR={names[0]}",
        )
    elif not chosen:
        yield Finding(
            INFO,
            "default-processor",
            f"several processors are installed ({', '.join(names)}), and none is the default",
            "a task that names no processor goes to quarantine",
            f"OCRQ_DEFAULT_PROCESSOR={names[0]}",
        )
    else:
        yield fine("plugins", f"{', '.join(names)}; {chosen} reads what names no processor")


def _limits(settings: Settings) -> Limits:
    return Limits(settings.max_bytes, settings.max_pixels, settings.max_pages)
