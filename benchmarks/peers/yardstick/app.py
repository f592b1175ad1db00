"""The yardsticks, on redis-py with hiredis as everything else: `app.py naive|lua64|bare|engine`."""

import json
import os
import sys
import time
import uuid

import redis
import tally

QUEUE, DATA, LEASES, TOTAL, DONE = (
    "ocr:task:queue",
    "ocr:task:data:",
    "ocr:task:leases",
    "ocr:stats:tasks:total",
    "ocr:stats:tasks:completed",
)
WORKER = f"worker-{os.getpid()}"
CLAIM = """
local ids = redis.call('RPOP', KEYS[1], ARGV[1])
if not ids then return {} end
for _, id in ipairs(ids) do
  redis.call('HSET', ARGV[2] .. id, 'status', 'processing', 'worker_id', ARGV[3], 'started_at', ARGV[4])
  redis.call('ZADD', KEYS[2], ARGV[5], id)
end
return ids
"""
ACK = """
for index = 3, #ARGV do
  redis.call('HSET', ARGV[1] .. ARGV[index], 'status', 'completed', 'completed_at', ARGV[2])
  redis.call('ZREM', KEYS[1], ARGV[index])
end
redis.call('INCRBY', KEYS[2], #ARGV - 2)
redis.call('PUBLISH', 'ocr:notifications', #ARGV - 2)
return #ARGV - 2
"""
PATIENCE = 2  # seconds that a pop may block; redis-py gives an answer up after 5
client = redis.Redis.from_url(tally.URL, decode_responses=True)


def _add(pipeline, task, user_id, file_id, *number):
    task_id = str(uuid.uuid4())
    if task != "noop":  # the bare states carry no arguments, so the id says what is to be measured
        task_id = ":".join([task, *map(str, number), task_id])
    fields = {
        "user_id": user_id,
        "file_id": file_id,
        "status": "pending",
        "priority": 5,
        "created_at": int(time.time()),
    }
    pipeline.hset(DATA + task_id, mapping=fields)
    pipeline.lpush(QUEUE, task_id)
    pipeline.incr(TOTAL)


def send(task, *arguments):
    """The MULTI yardstick: one transaction per task."""
    with client.pipeline(transaction=True) as pipeline:
        _add(pipeline, task, *arguments)
        pipeline.execute()


def send_many(task, many):
    """The pipelined yardstick: one transaction for all of them."""
    with client.pipeline(transaction=True) as pipeline:
        for arguments in many:
            _add(pipeline, task, *arguments)
        pipeline.execute()


def _run(task_id):
    task, *numbers = task_id.split(":")[:-1] or ["noop"]
    tally.SYNC[task]("", "", *map(int, numbers))


def naive():
    """The documented lifecycle, one command after the other."""
    while True:
        popped = client.brpop(QUEUE, PATIENCE)
        if popped is None:
            continue
        key = DATA + popped[1]
        client.hset(key, mapping={"status": "processing", "worker_id": WORKER, "started_at": int(time.time())})
        _run(popped[1])
        client.hset(key, mapping={"status": "completed", "completed_at": int(time.time())})
        client.incr(DONE)
        client.publish(
            "ocr:notifications",
            json.dumps({"type": "task_completed", "task_id": popped[1], "timestamp": int(time.time())}),
        )


def lua64():
    """The bare states, 64 at a time."""
    claim, ack = client.register_script(CLAIM), client.register_script(ACK)
    while True:
        now = int(time.time())
        ids = claim(keys=[QUEUE, LEASES], args=[64, DATA, WORKER, now, (now + 30) * 1000])
        for task_id in ids:
            _run(task_id)
        if ids:
            ack(keys=[LEASES, DONE], args=[DATA, int(time.time()), *ids])
        else:
            client.blmove(QUEUE, QUEUE, PATIENCE, "RIGHT", "RIGHT")


def bare(processes):
    """The work alone, from the moment when all processes are there."""
    tally.noop("", "")
    for _ in range(int(os.environ["BENCH_TASKS"]) // processes):
        tally.burn("", "")
    time.sleep(60)


def engine():
    """The default engine's library alone, set up as the plugin does, from the moment when all processes are ready."""
    from ocrq.worker.processes import limit_threads

    limit_threads(1)  # as in a worker's process, before the libraries are loaded
    import cv2
    from ocrq_rapidocr.model import OPTIONS
    from rapidocr import RapidOCR

    cv2.setNumThreads(1)
    ocr = RapidOCR(params=OPTIONS | {"Global.return_word_box": False})
    pages = json.loads(os.environ["BENCH_PAGES"])
    ocr(cv2.imread(pages[-1]))  # the first page loads the weights
    tally.meet("", "")
    for number, page in enumerate(pages):
        if _is_mine(number):
            ocr(cv2.imread(page))
            tally.noop("", "")
    time.sleep(60)


def _is_mine(number):
    """Whether no other process has taken the page; so none waits at the end while another has two to go."""
    try:
        (tally.FOLDER / f"taken-{number}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    {"naive": naive, "lua64": lua64, "bare": bare, "engine": engine}[kind](*map(int, rest))
