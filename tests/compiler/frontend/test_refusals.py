"""A refusal names the line of the cell."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend.refusals import here, user_frame

H_0 = np.zeros((2, 4))


def branching(x: Any, h: Any) -> Any:
    if np.sum(h) > 0:
        return h
    return h + x


def test_the_line_of_the_cell_and_what_to_do() -> None:
    line = inspect.getsourcelines(branching)[1] + 1
    said = rf"decides by the numbers of an array \(test_refusals.py, line {line}\).* np.where"
    with pytest.raises(tg.TraceError, match=said) as caught:
        tg.scan(branching, np.ones((3, 2, 4)), np.zeros((2, 4)))
    assert isinstance(caught.value, TypeError)


def test_a_rule_of_the_table_that_asks_is_not_the_cell() -> None:
    def cell(x: Any, h: Any) -> Any:
        return np.geomspace(x + 2.0, h + 3.0, 2)[0]

    with pytest.raises(tg.TraceError, match="or its derivative, needs the numbers"):
        tg.scan(cell, np.ones((3, 2, 4)), tg.Tensor(np.zeros((2, 4)), requires_grad=True))


def test_outside_of_the_package_it_is_the_caller() -> None:
    assert user_frame() is not None and "test_refusals.py" in here()


def branching_loss(h: Any, y: Any) -> Any:
    return np.sum(h) if np.sum(h) > 0 else np.sum(h - y)


def ending(call: Callable[[], Any]) -> str:
    """The advice at the end of the message of a call that is refused, also of its copies."""
    with pytest.raises(tg.TraceError) as caught:
        call()
    said = str(caught.value)
    for other in (copy.copy(caught.value), pickle.loads(pickle.dumps(caught.value))):
        assert type(other) is tg.TraceError and str(other) == said
    return said.partition(": ")[2]


def test_the_advice_names_what_was_called() -> None:
    xs, h_0, ys = np.ones((3, 2, 4)), np.zeros((2, 4)), np.ones((3, 2, 4))
    for call in (tg.scan, tg.scan_source):
        said = ending(lambda call=call: call(branching, xs, h_0))
        assert said == "write the choice with np.where, or use tg.unroll"
    for bptt in (tg.BPTT(branching, tg.mse), tg.BPTT(lambda x, h: x + h, branching_loss)):
        for call in (bptt, bptt.source):
            said = ending(lambda call=call: call(xs, ys, h_0))
            assert said == "write the choice with np.where, or use bptt.record(...).backward()"
        assert bptt.record(xs, ys, h_0).shape == ()


def test_the_advice_of_copies_of_a_model() -> None:
    bptt = tg.BPTT(branching, tg.mse)
    for other in (copy.copy(bptt), copy.deepcopy(bptt), pickle.loads(pickle.dumps(bptt))):
        said = ending(lambda other=other: other(np.ones((3, 2, 4)), np.ones((3, 2, 4)), H_0))
        assert said.endswith("use bptt.record(...).backward()")


def test_the_advice_where_a_later_call_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No walk finds the setting, but the cell is traced again at the second call of its program."""
    monkeypatch.setenv("BRANCHES", "")
    bptt = tg.BPTT(lambda x, h: (branching if os.environ["BRANCHES"] else np.add)(x, h), tg.mse)
    given = np.ones((3, 2, 4)), np.ones((3, 2, 4)), H_0
    bptt(*given)
    monkeypatch.setenv("BRANCHES", "1")
    assert ending(lambda: bptt(*given)).endswith("use bptt.record(...).backward()")


def test_advice_without_a_cure() -> None:
    def cell(x: Any, h: Any) -> Any:
        a = np.zeros_like(x.data)
        np.subtract.at(a, 0, h.data[0])
        return h + a

    assert ending(lambda: tg.scan(cell, np.ones((3, 2, 4)), H_0)) == "use tg.unroll"
