"""`ocrq worker`: a supervisor, a keeper, and the children that run handlers.

    supervisor   owns the processes: forks, deadlines, signals, stop. Never talks to the server, so it never hangs.
    keeper       owns the worker's standing with the server: renews leases, promotes, reaps, heartbeats.
    child        claims tasks, runs handlers, settles them. Has no duty that a stuck handler could neglect.

They meet on the board (a memory-mapped file) and, supervisor and keeper, on a socket.
"""
