"""The measured tasks on repid; run as a program, it is the worker."""

import os

import tally
import uvloop
from repid import RedisServer, Repid, Router

CLAIM = float(os.environ.get("BENCH_CLAIM", "0"))
SERVER = RedisServer(tally.URL, batch_size=int(os.environ.get("BENCH_BATCH", "10")), claim_interval=CLAIM)
app = Repid(title="bench", version="1")
app.servers.register_server("default", SERVER, is_default=True)
router = Router()


@router.actor(channel="bench")
async def noop(user_id: str, file_id: str) -> None:
    """As in tally."""
    await tally.ASYNC["noop"](user_id, file_id)


@router.actor(channel="bench")
async def stamp(user_id: str, file_id: str, number: int) -> None:
    """As in tally."""
    await tally.ASYNC["stamp"](user_id, file_id, number)


@router.actor(channel="bench")
async def burn(user_id: str, file_id: str) -> None:
    """As in tally."""
    await tally.ASYNC["burn"](user_id, file_id)


@router.actor(channel="bench")
async def hold(user_id: str, file_id: str, number: int) -> None:
    """As in tally."""
    await tally.ASYNC["hold"](user_id, file_id, number)


app.include_router(router)
HEADERS = {name: {"topic": name} for name in tally.ASYNC}


async def start():
    """Connect."""
    await SERVER.connect()


async def send(task, *arguments):
    """Enqueue one."""
    payload = dict(zip(("user_id", "file_id", "number"), arguments, strict=False))
    await app.send_message_json(channel="bench", payload=payload, headers=HEADERS[task])


async def stop():
    """Disconnect."""
    await SERVER.disconnect()


async def work():
    """Work until the process is ended."""
    async with SERVER.connection():
        # with tasks_limit=1 repid 2.1.4 stops after one batch, so two it is
        await app.run_worker(tasks_limit=max(2, int(os.environ["BENCH_CONCURRENCY"])))


if __name__ == "__main__":
    uvloop.run(work())
