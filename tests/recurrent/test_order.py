"""`reverse`, `lengths`, `steps`, `stacked` and outputs, for `unroll` and `scan`: what a sequence
is by itself, or turned round by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_scan import parameter
from tinygrad_rnn.engine.trees import flatten, unflatten

T, B, D, H = 6, 3, 3, 4
LENGTHS = np.array([4, 6, 1])
VALID = np.arange(T)[:, None] < LENGTHS
STRATEGIES = [None, tg.Subsequence(2), tg.Window(1), tg.Window([0, 1, 2]), tg.TBPTT(2, 3)]
RUNS = [tg.unroll, tg.scan]
W = parameter(H, 2, seed=5, name="W")


def with_output(inner: Any) -> Callable[[Any, Any], Any]:
    """A cell that gives something out beside its state."""

    def cell(x: Any, state: Any) -> Any:
        h = inner(x, state[0])
        return h, np.tanh(flatten(h)[0] @ W)

    return cell


def xs() -> Any:
    return parameter(T, B, D, seed=9)


def start_of(cell: Any, output: bool = False) -> Any:
    state = cell.initial_state(B)
    parts = iter([parameter(B, H, seed=n) for n, _ in enumerate(flatten(state))])
    return (unflatten(state, parts), None) if output else unflatten(state, parts)


def stack(states: Any) -> list[Any]:
    if isinstance(states, list):
        return [np.stack(parts) for parts in zip(*map(flatten, states), strict=True)]
    return flatten(states)


def measured(states: Any, last: Any, rows: Any = slice(None)) -> Any:
    """A number that weighs every entry of the states, and bends the last one."""
    rng = np.random.default_rng(1)
    total: Any = sum(np.sum(np.sin(part)) for part in flatten(last))
    for part in stack(states):
        weights = rng.standard_normal((T, B, *part.shape[2:]))
        total = total + np.sum(part * weights[: len(part), rows])
    return total


def numbers(run: Callable[[], Any], inputs: list[tg.Tensor]) -> list[Any]:
    states, last = run()
    values = [np.array(tg.Tensor(part).data) for part in [*stack(states), *flatten(last)]]
    return [*values, *tg.gradients(measured(states, last), inputs)]


def same(found: list[Any], expected: list[Any], tolerance: float = 1e-12) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("make", [tg.RNNCell, tg.LSTMCell], ids=["rnn", "lstm"])
@pytest.mark.parametrize("truncation", STRATEGIES, ids=repr)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("run", RUNS)
def test_lengths(run: Any, reverse: bool, truncation: Any, make: Any) -> None:
    inner = make(D, H, rng=0)
    for cell, output in ((inner, False), (with_output(inner), True)):
        sequences, start = xs(), start_of(inner, output)
        weights = [inner.W_hh, inner.W_xh, *([W] if output else [])]
        padded = np.where(VALID[..., None], sequences, np.nan)
        states, last = run(cell, padded, start, truncation, lengths=LENGTHS, reverse=reverse)
        # Behind its end a sequence counts once more, for every step that is left, with its end.
        rng, parts = np.random.default_rng(1), stack(states)
        behind = [rng.standard_normal((T, B, *part.shape[2:])) for part in parts]
        total: Any = sum(np.sum(np.sin(part)) for part in flatten(last))
        for part, weight in zip(parts, behind, strict=True):
            total = total + np.sum(part * weight)
        found = tg.gradients(total, [sequences, *flatten(start), *weights])
        by_itself: Any = 0.0
        for b, n in enumerate(LENGTHS):
            one = unflatten(start, iter([part[b : b + 1] for part in flatten(start)]))
            alone = tg.unroll(
                cell, sequences[:n, b : b + 1], one, of_sequence(truncation, b), reverse=reverse
            )
            for whole, part, weight in zip(parts, stack(alone[0]), behind, strict=True):
                end = 0 if reverse else n - 1
                np.testing.assert_allclose(whole.data[:n, b], part.data[:, 0], atol=1e-13)
                np.testing.assert_allclose(
                    whole.data[n:, b], np.repeat(part.data[end], T - n, 0), atol=1e-13
                )
                by_itself = by_itself + np.sum(part[:, 0] * weight[:n, b])
                by_itself = by_itself + np.sum(part[end, 0] * np.sum(weight[n:, b], axis=0))
            for whole, part in zip(flatten(last), flatten(alone[1]), strict=True):
                np.testing.assert_allclose(whole.data[b], part.data[0], atol=1e-13)
                by_itself = by_itself + np.sum(np.sin(part))
        expected = tg.gradients(by_itself, [sequences, *flatten(start), *weights])
        same(found, expected)


@pytest.mark.parametrize("truncation", STRATEGIES, ids=repr)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("run", RUNS)
def test_a_sequence_of_no_steps_stays_at_its_initial_state(
    run: Any, reverse: bool, truncation: Any
) -> None:
    cell = tg.LSTMCell(D, H, rng=0)
    for steps in (T, 1):
        start, lengths = start_of(cell), np.array([0, 1, steps])
        states, last = run(cell, xs()[:steps], start, truncation, lengths=lengths, reverse=reverse)
        for state, end, first in zip(stack(states), last, start, strict=True):
            for part in (*state, end):
                np.testing.assert_array_equal(part.data[0], first.data[0])
            total = np.sum(state[:, 0]) + np.sum(end[0])
            found = tg.gradients(total, [first])[0]
            np.testing.assert_array_equal(found[0], np.full(H, steps + 1.0))


@pytest.mark.parametrize("truncation", [None, tg.Subsequence(2)], ids=repr)
@pytest.mark.parametrize("run", RUNS)
def test_a_number_in_the_state_belongs_to_no_sequence(run: Any, truncation: Any) -> None:
    """It counts the steps of the run, also where a sequence has ended."""

    square = tg.Tensor(np.random.default_rng(0).standard_normal((D, D)), requires_grad=True)

    def counting(x: Any, s: Any) -> Any:
        return np.tanh(x @ square + s[0]), s[1] + 1.0

    start = np.zeros((B, D)), np.zeros(())
    states, last = run(counting, xs(), start, truncation, lengths=LENGTHS)
    assert last[1].data == T
    assert stack(states)[1].data.tolist() == list(range(1, T + 1))


def of_sequence(truncation: Any, b: int) -> Any:
    """The strategy of one sequence of the batch."""
    return tg.Window(truncation.k[b]) if np.ndim(getattr(truncation, "k", 0)) else truncation


@pytest.mark.parametrize("truncation", STRATEGIES, ids=repr)
@pytest.mark.parametrize("run", RUNS)
def test_reverse_is_the_sequence_turned_round(run: Any, truncation: Any) -> None:
    cell, sequence = tg.GRUCell(D, H, rng=0), xs()
    start, reset = start_of(cell), np.random.default_rng(2).random((T, B)) < 0.3
    inputs = [sequence, start, cell.W_hh, cell.b_h]

    def by_hand() -> Any:
        states, last = tg.unroll(cell, sequence[::-1], start, truncation, reset[::-1])
        return states[::-1], last

    def reversed_() -> Any:
        return run(cell, sequence, start, truncation, reset, reverse=True)

    same(numbers(reversed_, inputs), numbers(by_hand, inputs))


@pytest.mark.parametrize("run", RUNS)
def test_inputs_of_any_form(run: Any) -> None:
    """A dict of sequences, and a list of steps, with lengths and reversed."""
    cell, array = tg.RNNCell(D, H, rng=0), xs().data

    def add(given: Any, h: Any) -> Any:
        return cell(given["a"] + given["b"], h)

    def pair(given: Any, h: Any) -> Any:
        return cell(given[0] + given[1], h)

    start = np.zeros((B, H))
    for options in ({"lengths": LENGTHS}, {"reverse": True}, {"lengths": LENGTHS, "reverse": True}):
        expected, last = tg.unroll(cell, 2 * array, start, stacked=True, **options)
        forms = [
            (add, {"a": array, "b": list(array)}),
            (add, [{"a": x, "b": x} for x in array]),
            (pair, [(x, x) for x in array]),
        ]
        for function, given in forms:
            states, end = run(function, given, start, **options)
            np.testing.assert_allclose(stack(states)[0].data, expected.data, atol=1e-14)
            np.testing.assert_allclose(end.data, last.data, atol=1e-14)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("run", RUNS)
def test_resets_behind_the_end_and_before(run: Any, reverse: bool) -> None:
    cell, array = tg.RNNCell(D, H, rng=0), xs().data
    reset = np.random.default_rng(5).random((T, B)) < 0.5
    reset[5] = True
    states, last = run(cell, array, reset=reset, lengths=LENGTHS, reverse=reverse)
    for b, n in enumerate(LENGTHS):
        alone, end = tg.unroll(
            cell, array[:n, b : b + 1], reset=reset[:n, b : b + 1], reverse=reverse, stacked=True
        )
        np.testing.assert_allclose(stack(states)[0].data[:n, b], alone.data[:, 0], atol=1e-14)
        np.testing.assert_allclose(last.data[b], end.data[0], atol=1e-14)


@pytest.mark.parametrize("batch", [B, T])
@pytest.mark.parametrize("run", RUNS)
def test_resets_of_all_sequences_with_lengths(run: Any, batch: int) -> None:
    cell, array, reset = tg.RNNCell(D, H, rng=0), np.ones((T, batch, D)), np.arange(T) % 3 == 1
    each, lengths = np.repeat(reset[:, None], batch, axis=1), [*range(1, batch), T]
    states, last = run(cell, array, reset=reset, lengths=lengths)
    expected, end = run(cell, array, reset=each, lengths=lengths)
    np.testing.assert_array_equal(stack(states)[0].data, stack(expected)[0].data)
    np.testing.assert_array_equal(last.data, end.data)


@pytest.mark.parametrize("run", RUNS)
def test_one_number_is_no_sequence(run: Any) -> None:
    with pytest.raises(TypeError, match=r"xs must be a sequence, .* it is a single float"):
        run(tg.RNNCell(D, H, rng=0), 3.0, np.zeros((B, H)), reverse=True)


@pytest.mark.parametrize(
    "reset",
    [True, np.ones((1, B), bool), np.ones((T, 1), bool), np.ones((T, B), int), np.ones(2, bool)],
    ids=lambda reset: str(np.shape(reset)),
)
@pytest.mark.parametrize("options", [{}, {"lengths": LENGTHS}, {"reverse": True}], ids=repr)
def test_resets_that_do_not_fit(reset: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"reset must be booleans of shape \(6, 3\), True where"):
        tg.unroll(tg.RNNCell(D, H, rng=0), xs(), reset=reset, **options)


@pytest.mark.parametrize("run", RUNS)
def test_resets_of_all_sequences_and_a_number_in_the_state(run: Any) -> None:
    """Resets of the run set it to zero, and resets of sequences leave it alone."""
    at_step = np.arange(T) == 2

    def counting(x: Any, s: Any) -> Any:
        return x + s[0], s[1] + 1.0

    for reset, counts in (
        (at_step, [1, 2, 1, 2, 3, 4]),
        (np.repeat(at_step[:, None], B, axis=1), [1, 2, 3, 4, 5, 6]),
    ):
        start = np.zeros((B, D)), np.zeros(())
        states, _ = run(counting, np.ones((T, B, D)), start, reset=reset)
        sums, numbers = (part.data for part in stack(states))
        assert sums[:, 0, 0].tolist() == [1, 2, 1, 2, 3, 4] and numbers.tolist() == counts


def test_what_was_before_a_reset_of_all_sequences_is_forgotten() -> None:
    cell, reset = tg.RNNCell(D, H, rng=0), np.zeros((T, B), bool)
    reset[2] = True
    _, last = tg.unroll(cell, xs(), reset=reset)
    assert {node.step for node in tg.tape(last) if node.edges} == {2, 3, 4, 5}


@pytest.mark.parametrize("run", RUNS)
def test_a_system_without_inputs(run: Any) -> None:
    A, seen = parameter(H, H), set()

    def system(nothing: Any, h: Any) -> Any:
        seen.add(nothing)
        return np.tanh(h @ A)

    start = parameter(B, H, seed=1)
    states, last = run(system, state=start, steps=T)
    by_hand, h = [], start
    for _ in range(T):
        h = np.tanh(h @ A)
        by_hand.append(h)
    np.testing.assert_allclose(stack(states)[0].data, np.stack(by_hand).data, atol=1e-14)
    assert seen == {None}
    found = tg.gradients(measured(states, last), [A, start])
    same(found, tg.gradients(measured(by_hand, h), [A, start]))
    assert run(system, None, start, steps=0)[1] is start
    for wrong in ((np.ones((T, B, D)), start), (None, None)):
        with pytest.raises(TypeError, match="steps=T is for a system without inputs"):
            run(system, *wrong, steps=T)
    with pytest.raises(ValueError, match="steps must be at least 0, not -1"):
        run(system, None, start, steps=-1)
    with pytest.raises(TypeError, match="pass the number of steps, steps=T"):
        run(system, None, start)


@pytest.mark.parametrize("run", RUNS)
def test_lengths_of_a_system_without_inputs(run: Any) -> None:
    states, last = run(lambda x, h: h * 2.0, None, np.ones((B, 1)), steps=T, lengths=LENGTHS)
    assert last.data[:, 0].tolist() == [2.0**n for n in LENGTHS]
    assert stack(states)[0].data[:, 2, 0].tolist() == [2.0] * T
    with pytest.raises(ValueError, match=r"lengths must lie in 0\.\.6"):
        run(lambda x, h: h * 2.0, None, np.ones((B, 1)), steps=T, lengths=LENGTHS + 1)


@pytest.mark.parametrize("run", RUNS)
def test_numbers_without_a_batch_are_reversed(run: Any) -> None:
    states, last = run(lambda x, h: 2 * h + x, np.arange(3.0), np.zeros(()), reverse=True)
    assert last.data == 10 and stack(states)[0].data.tolist() == [10, 5, 2]


@pytest.mark.parametrize("truncation", STRATEGIES, ids=repr)
def test_stacked_is_what_scan_returns(truncation: Any) -> None:
    inner = tg.LSTMCell(D, H, rng=0)
    cell, sequence, start = with_output(inner), xs(), start_of(inner, True)
    inputs = [sequence, *flatten(start), inner.W_hh, W]
    results = []
    for run, options in ((tg.unroll, {"stacked": True}), (tg.scan, {})):
        states, last = run(cell, sequence, start, truncation, **options)
        assert [part.shape for part in flatten(states)] == [(T, B, H), (T, B, H), (T, B, 2)]
        results.append(numbers(lambda found=(states, last): found, inputs))
        assert [part.name for part in flatten(states)] == ["h^aa", "h^ab", "h^b"]
    same(*results)
    empty, last = tg.unroll(inner, np.zeros((0, B, D)), inner.initial_state(B), stacked=True)
    assert [part.shape for part in empty] == [(0, B, H)] * 2


@pytest.mark.parametrize("truncation", STRATEGIES, ids=repr)
def test_outputs_are_given_back_and_never_read(truncation: Any) -> None:
    inner = tg.RNNCell(D, H, rng=0)
    plain, seen = with_output(inner), set()

    def cell(x: Any, state: Any) -> Any:
        seen.add(state[1])
        return plain(x, state)

    sequence, start = xs(), start_of(inner, True)
    inputs = [sequence, start[0], inner.W_hh, W]
    filled = start[0], np.zeros((B, 2))
    expected = numbers(lambda: tg.unroll(plain, sequence, filled, truncation), inputs)
    for run in RUNS:
        same(numbers(lambda run=run: run(cell, sequence, start, truncation), inputs), expected)
    streamed = list(tg.stream(cell, sequence, start, truncation))
    assert seen == {None}
    np.testing.assert_allclose(np.stack([o for _, o in streamed]).data, expected[1], atol=1e-13)


def test_an_output_is_one_array() -> None:
    inner = tg.RNNCell(D, H, rng=0)
    for returned in (None, (1, 2)):
        cell = partial(lambda returned, x, s: (inner(x, s[0]), returned), returned)
        for run in RUNS:
            with pytest.raises(ValueError, match="where None stands for an output"):
                run(cell, xs(), (np.zeros((B, H)), None))


@pytest.mark.parametrize("options", [{"outputs": "last"}, {"checkpoint": 2}], ids=repr)
def test_checkpoints_and_the_last_state_alone(options: dict[str, Any]) -> None:
    cell, sequence = tg.GRUCell(D, H, rng=0), xs()
    for more in ({"lengths": LENGTHS}, {"reverse": True}, {"lengths": LENGTHS, "reverse": True}):
        _, expected = tg.unroll(cell, sequence, **more)
        _, last = tg.scan(cell, sequence, block=2, **more, **options)
        np.testing.assert_allclose(last.data, expected.data, atol=1e-14)
        mine = tg.gradients(np.sum(np.sin(last)), [cell.W_hh, sequence])
        same(mine, tg.gradients(np.sum(np.sin(expected)), [cell.W_hh, sequence]))
    with pytest.raises(ValueError, match='outputs="last" does not work with lengths'):
        tg.scan(cell, sequence, truncation=tg.Subsequence(2), lengths=LENGTHS, outputs="last")


@pytest.mark.parametrize("truncation", [None, tg.Full()], ids=repr)
@pytest.mark.parametrize("reverse", [False, True])
def test_the_last_state_alone_with_lengths(reverse: bool, truncation: Any) -> None:
    cell, array = tg.RNNCell(D, H, rng=0), xs().data
    options = {"truncation": truncation, "lengths": LENGTHS, "reverse": reverse}
    states, last = tg.scan(cell, array, outputs="last", **options)
    assert states is None
    np.testing.assert_allclose(last.data, tg.unroll(cell, array, **options)[1].data, atol=1e-14)


def test_packed_sequences_of_pytorch_in_both_directions() -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.LSTM(D, H, bidirectional=True).double()
    weights = layer.state_dict()
    ahead = tg.from_torch({k: v for k, v in weights.items() if "reverse" not in k})
    back = tg.from_torch(
        {k.removesuffix("_reverse"): v for k, v in weights.items() if "reverse" in k}
    )
    array = xs().data
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.tensor(array), torch.tensor(LENGTHS), enforce_sorted=False
    )
    outputs, (final, _) = layer(packed)
    outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs)
    (h, _), (last, _) = tg.scan(ahead, array, lengths=LENGTHS)
    (g, _), (first, _) = tg.scan(back, array, lengths=LENGTHS, reverse=True)
    both = np.concatenate([h, g], axis=-1).data
    np.testing.assert_allclose(both[VALID], outputs.detach().numpy()[VALID], atol=1e-12)
    np.testing.assert_allclose(last.data, final[0].detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(first.data, final[1].detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("truncation", [None, tg.Window(1)])
def test_names_count_the_time_also_backwards(truncation: Any) -> None:
    xs = [tg.Tensor(np.ones((2, 3))) for _ in range(4)]
    states, last = tg.unroll(tg.RNNCell(3, 4, rng=0), xs, truncation=truncation, reverse=True)
    assert [h.name for h in states] == ["h_1", "h_2", "h_3", "h_4"] and last.name == "h_1"
    assert [x.name for x in xs] == ["x_1", "x_2", "x_3", "x_4"]


@pytest.mark.parametrize("run", [tg.unroll, tg.scan])
def test_lengths_need_a_batch(run: Any) -> None:
    with pytest.raises(ValueError, match=r"\(T, batch, ...\).* has the shape \(4,\)"):
        run(lambda x, h: h + x, np.ones(4), np.ones(2), lengths=[2, 4])
