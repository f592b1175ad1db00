"""Put tasks in from Python and wait for them: `python -m examples.producer`, while a worker runs.

The server is the one of OCRQ_REDIS_URL or REDIS_URL, else the embedded one, which is started when it is not running.
"""

from __future__ import annotations

import ocrq


def main() -> None:
    """Enqueue one task for each handler of `examples.handlers` and print what came of it."""
    queue = ocrq.Queue()
    file_id = queue.files.put(b"the quick brown fox", name="fox.txt")
    tasks = [
        queue.enqueue("count-words", file_id=file_id, user_id="u1", priority=8),
        queue.enqueue("greet", name="Ada"),
        queue.enqueue("flaky"),
    ]
    for task in tasks:
        task.wait(timeout=60)
        print(task.processor, task.status, task.result())


if __name__ == "__main__":
    main()
