"""`ocrq worker`."""

from __future__ import annotations

import logging
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ServerUnreachable
from . import examples
from .session import Session, server_options

if TYPE_CHECKING:
    from ..broker import Broker
    from ..settings import Settings

_PAUSES = (0.2, 1.0, None)  #: seconds after each try to reach the server at the start


@click.command(
    epilog=examples(
        "ocrq worker                                  the default queue, one process per CPU",
        "ocrq worker urgent default -p 4              queue urgent first, four processes",
        "ocrq worker -I handlers                      with the handlers of handlers.py",
        "ocrq worker --default-processor rapidocr     for tasks that name no processor",
        "ocrq worker --burst                          work through what waits, then end",
    )
)
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@click.option("-I", "--import", "modules", multiple=True, metavar="MODULE", help="Import handlers; repeatable.")
@click.option("-p", "--processes", type=int, metavar="N", help="Processes (default: one per CPU).")
@click.option("-c", "--concurrency", type=int, metavar="N", help="Tasks at once in each process (default: 1).")
@click.option("-b", "--burst", is_flag=True, help="End with code 0 when the queues are empty.")
@click.option("-n", "--name", metavar="NAME", help="Name of this worker (default: the host's).")
@click.option("--default-processor", metavar="NAME", help="Runs tasks that name no processor.")
@click.option("--preload", multiple=True, metavar="NAME", help="Load a processor before the first task; repeatable.")
@click.option("--max-tasks", type=int, metavar="N", help="Renew a process after so many tasks.")
@click.option("--max-memory", "max_memory_mb", type=int, metavar="MB", help="Renew a process above so much memory.")
@click.option("--grace", "grace_seconds", type=float, metavar="S", help="Seconds for running tasks when stopped.")
@server_options
@click.pass_obj
def worker(
    session: Session,
    /,
    *,
    queues: tuple[str, ...],
    modules: tuple[str, ...],
    burst: bool,
    name: str | None,
    preload: tuple[str, ...],
    **overrides: Any,
) -> int:
    """Run handlers for the tasks of each QUEUE (default: "default"); earlier queues come first.

    Handlers come from the modules that -I imports (the current folder is importable) and from installed plugins.
    SIGTERM or Ctrl-C lets running tasks finish for the grace, a second one ends them now; no task is lost by either.
    """
    from .. import logs
    from ..keys import checked_queue

    settings = session.settings(**overrides)
    level = logging.WARNING if session.quiet else logging.DEBUG if session.verbosity else logging.INFO
    logs.setup("json" if session.json else settings.log_format, level=level)
    names = tuple(dict.fromkeys(checked_queue(queue) for queue in queues or ("default",)))
    _check_modules(modules)
    url = _reachable(settings)
    from ..worker import supervisor
    from ..worker.options import WorkerOptions

    return supervisor.run(
        WorkerOptions(
            settings=settings,
            url=url,
            queues=names,
            modules=modules,
            processes=settings.process_count,
            concurrency=settings.concurrency,
            burst=burst,
            preload=preload,
            verbosity=session.verbosity,
            **({"name": name} if name else {}),
        )
    )


def _check_modules(modules: tuple[str, ...]) -> None:
    """Find misspelt names now, without importing anything: handlers are the children's. Raises UsageError."""
    folder = str(Path.cwd())
    if modules and folder not in sys.path:
        sys.path.insert(0, folder)  # as the children do
    for module in modules:
        top = module.partition(".")[0]
        if not all(part.isidentifier() for part in module.split(".")) or find_spec(top) is None:
            raise click.UsageError(f"no module {module!r} to import, neither in this folder nor installed.")


def _reachable(settings: Settings) -> str:
    """The server's URL once it has answered. Raises ServerUnreachable after some tries, PermissionDenied."""
    from ..broker import Broker
    from ..connection import client, server_url

    log = logging.getLogger("ocrq.worker")
    url = server_url(settings, log.info)
    broker = Broker(client(url, namespace=settings.namespace), settings, url=url)
    for pause in _PAUSES:
        try:
            _check(broker, log)
            break
        except ServerUnreachable as error:  # it may be starting, or the connection was cut this once
            if pause is None:
                raise
            log.debug("%s; trying again in %g s", error, pause)
            time.sleep(pause)
        finally:
            broker.client.close()  # before the first fork
    return url


def _check(broker: Broker, log: logging.Logger) -> None:
    from .. import inspection

    broker.send(broker.client.zcard, broker.keys.workers)  # not PING, which an ACL may forbid although all else works
    policy = inspection.eviction_policy(broker)
    if inspection.is_unsafe(policy):
        log.warning(inspection.policy_warning(policy))
