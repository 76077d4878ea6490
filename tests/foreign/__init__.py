"""The queues of others, read for real: their own workers on a Redis that the tests start."""
