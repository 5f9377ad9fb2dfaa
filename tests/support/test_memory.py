"""Freed memory is kept in the process, unless it is switched off."""

import os

from tinygrad_rnn.support.memory import keep_freed_memory


def test_keeping_freed_memory_can_be_switched_off(monkeypatch):
    asked = []
    monkeypatch.setattr("numpy.empty", lambda *args: asked.append(args))
    for value, count in [("0", 0), ("1", 2), (None, 4)]:
        if value is None:
            monkeypatch.delenv("TINYGRAD_RNN_KEEP_FREED_MEMORY")
        else:
            monkeypatch.setitem(os.environ, "TINYGRAD_RNN_KEEP_FREED_MEMORY", value)
        keep_freed_memory.__wrapped__()
        assert len(asked) == count
