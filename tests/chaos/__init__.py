"""The chaos suite: what must never happen to a task, tried on real servers and processes."""
