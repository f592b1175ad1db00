"""The words of the report that do not depend on the numbers."""

INTRODUCTION = """
# Benchmarks

Made by `make bench`, not by hand: {date}, {rounds} round(s), {minutes} minutes. {quick}Machine: {cpu}, {cores} CPUs,
{memory}, {kernel}, Python {python}, {server}, no persistence, TCP on loopback; load before the run {load}.

ocrq does more per task than any peer here (a hash that says what became of it, counters and a daily mean, three
notifications, a result cache, expiry, a lease, a fencing token), and all of that is switched on. Notifications of
tasks that end together are published only where somebody may hear them: in the row *heard* all are, as for a
subscriber to a pattern. Rows with † run a task at most once: when a worker is killed, its tasks are gone. Two
yardsticks stand beside the peers: *naive*, the documented lifecycle with one round trip per command, and *lua64*, its
bare states claimed and acknowledged 64 at a time by a script. Absolute times say little about another machine; the
ratios, taken within each round, say more.
"""

METHOD = """
## Method

- **A cell** is one variant of one system for one workload: a server of its own, started empty; a producer; workers.
  Everything ends with it. In each round every system has its turn in every workload, and each round begins with
  another; numbers are medians of the rounds with the smallest and largest, ratios are taken within a round. Some cells
  of ocrq and the yardsticks come again in each, in turns, as further rounds, since the ratio of two short cells swings:
  drains three times, latency twice, native work five times.
- **One CPU** means that server, producer and worker are pinned to it, and the harness to the others; that is what
  repeats. On several CPUs a single connection that goes back and forth swings by a factor of two on virtual machines.
- **Settings** are each peer's best that its documentation names, tried before; the table above has them. Where a peer
  can run tasks again after a crash, that is how it is measured, and a faster way that loses them stands beside it.
  ocrq is as shipped. Each has a virtual environment of its own. Peers with async handlers get them, and uvloop. A
  ratio to *the fastest peer* takes all variants, † included.
- **The handler** does nothing but count: it adds one to a number in memory that it shares with the harness, and notes
  the time. No server is asked, so nobody pays for being measured. Each task has two arguments of 36 characters.
- **Rates** run from the first to the last task; a drain is cut off after {drain_seconds:g} s. The drain of two
  processes begins when both have a task.
- **CPU** is the kernel's count for the server's process, and for all processes of a worker together, from the first
  tasks to a quarter of a second after the last; round trips are the server's reads of its sockets. *Tasks per CPU
  second* are what both together allow: on one quiet CPU that is the rate, and on a busy one still comparable.
- **Bytes** are the growth of the server's `used_memory`, divided by the tasks.
- **Latency** is taken on a worker that waits, from just before the enqueue call to the handler's first line, one task
  every 20 ms; percentiles are over the samples of all rounds. On a CPU that wakes for each task the same steps take
  twice as long in some seconds as in others; so *naive* runs beside ocrq, each on a server of its own, and every five
  tasks it is the other's turn. Ratios to *naive* are taken from those samples. Peers are measured alone.
- **Behind a long task**: two processes find 400 short tasks, a long one and 20 short ones; how long after the start of
  the long one did those begin?
- **Native work** is a key derivation of 30 ms that has released the GIL, as OCR engines do; bare processes share the
  same work without a queue.
- **Real pages** are the five A4 pages at 150 dpi of `examples/make_samples.py` (two columns and a letter as PNG, three
  scans as JPEG), read by two processes from when both have their models loaded and have read a page. For ocrq, which
  finds them waiting, the time ends when the producer has heard of the last one, whose result, with words and boxes, is
  then written; CPU is that of all processes of the worker. The bare loop is the engine's library with the plugin's
  model and options, but without words, on pages that OpenCV decodes from the same files, with one thread in each
  process, as in a worker's; each takes the next page of one list, so that neither has to wait for the other.
- **The long queue** has {deep:,} tasks, half in the list, half in the sorted set; the short one 24,000. On one CPU,
  and in turns, each has 2,000 enqueued; then, again in turns, a worker is let at some of the list, and at 8,000 urgent
  tasks that are put into the sorted set. What counts is the median of three such pairs. A server that doubles its table
  of keys (past 2**20 of them, for some 100,000 tasks) takes up to twice as long meanwhile; these lengths stay clear of
  that.
"""
