"""Whole programs as machine code: the numbers of the interpreter, and nothing beside a buffer."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import tinygrad_rnn as tg
from tests.compiler.programs import CASES, B, Case, D, H, T, inputs, sequence_of, weight, with_loss
from tests.compiler.test_stages import random_case
from tinygrad_rnn.compiler.backends import Backend, interpreter
from tinygrad_rnn.compiler.backends.native import objects, page
from tinygrad_rnn.compiler.backends.native.loops import Form
from tinygrad_rnn.compiler.backends.native.translate import Translation
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.runtime.lanes import schedule
from tinygrad_rnn.compiler.runtime.program import Program
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.recurrent.truncation import Windows

SPLIT = {
    "attention": ("a reduction along another axis than the last",),
    "einsum": ("einsum is none of its functions",),
    "of_columns_apart": ("a product with a matrix that changes from step to step",),
}
"""Cases with a loop of which NumPy does a part, and why."""


IN_MACHINE_CODE = {
    *("rnn", "rnn_float32", "relu_rnn_of_tensors", "lstm", "gru", "stacked", "rnn_one_row"),
    *("lstm_one_row", "gru_one_row", "rnn_large_batch", "loss_scanned", "loss_alone"),
    *("loss_alone_one_row", "loss_alone_lstm", "subsequence", "links_of_each_sequence"),
    *("resets", "gated", "tied_weights", "dict_state", "masked", "layer_norm", "output_layer"),
    *("vector_state", "window", "window_lstm", "loss_alone_window"),
}
"""Cases with loops of which NumPy must not do anything."""


def wide(dtype, width=37, batch=19, cell=tg.RNNCell):
    """Sizes that fill no tile and no vector."""
    xs = np.random.default_rng(3).standard_normal((T, batch, 11)).astype(dtype)
    return Case(cell(11, width, rng=0, dtype=dtype), xs)


def wide_loss(dtype, batch, cell):
    rng = np.random.default_rng(4)
    W_hq = tg.Tensor(rng.standard_normal((33, 21)).astype(dtype), requires_grad=True)
    b_q = tg.Tensor(rng.standard_normal(21).astype(dtype), requires_grad=True)
    case = wide(dtype, 33, batch, cell)
    labels = rng.integers(0, 21, (T, batch))
    model = tg.BPTT(case.cell, lambda h, y: tg.cross_entropy(h @ W_hq + b_q, y)).model
    return Case(model, {"x": case.xs, "y": labels}, loss_alone=True)


def of_functions():
    """A cell that uses every function that the back end has in a loop."""
    W = weight(H, H, name="W")

    def cell(x, h):
        a = np.exp(-np.square(h)) + np.sqrt(np.abs(x) + 1) - np.log(np.abs(h) + 2)
        b = np.where(h > x, np.maximum(a, x), np.minimum(h, x)) * tg.sigmoid(h @ W)
        c = np.mean(b, axis=-1, keepdims=True) + np.max(h, axis=-1, keepdims=True)
        return np.tanh(b / (1 + a * a) + c * np.sum(x * h, axis=-1, keepdims=True))

    return Case(cell, inputs(width=H), tg.Tensor(inputs(width=H)[0]))


def ones_beside_the_state():
    W = weight(2 * H, H, name="W")

    def cell(x, h):
        return np.tanh(np.concatenate([h, np.ones_like(h)], axis=-1) @ W + x)

    return Case(cell, inputs(width=H), tg.Tensor(inputs(width=H)[0]))


def of_columns_apart():
    """Reductions along columns that are not side by side, and truth values with a constant."""
    W = weight(H, H, name="W")

    def cell(x, h):
        a = np.max(h.T, axis=-1) + np.mean(h[:, ::2], axis=-1, keepdims=True)
        b = np.sum(np.broadcast_to(h[:, :1], (B, H)), axis=-1, keepdims=True)
        return np.tanh(h @ W + a + b * np.where(np.logical_and(h > 0, True), x, h))

    return Case(cell, inputs(width=H), tg.Tensor(inputs(width=H)[0]))


def of_two_types():
    """A state of two parts, float64 and float32, whose works are in one loop."""
    rng = np.random.default_rng(0)
    xs = {"a": rng.standard_normal((T, B, 20)), "b": rng.standard_normal((T, B, 20))}
    xs["b"] = xs["b"].astype(np.float32)
    start = tuple(tg.Tensor(np.ones((B, 20), x.dtype), requires_grad=True) for x in xs.values())

    def cell(x, state):
        return np.tanh(state[0] * 0.5 + x["a"]), np.tanh(state[1] * 0.5 + x["b"])

    return Case(cell, xs, start)


MORE = {
    "ones_beside_the_state": ones_beside_the_state,
    "of_columns_apart": of_columns_apart,
    "of_two_types": of_two_types,
    "wide_float32": lambda: wide(np.float32),
    "wide_float64": lambda: wide(np.float64),
    "wide_lstm_float32": lambda: wide(np.float32, cell=tg.LSTMCell),
    "wide_gru_float32": lambda: wide(np.float32, cell=tg.GRUCell),
    "wide_loss_float32": lambda: wide_loss(np.float32, 19, tg.LSTMCell),
    "wide_loss_one_row_float32": lambda: wide_loss(np.float32, 1, tg.RNNCell),
    "wide_loss_one_row_float64": lambda: wide_loss(np.float64, 1, tg.GRUCell),
    "of_functions": of_functions,
}
EVERY = {**CASES, **MORE}


class Compiled:
    """A case, its program before buffers share memory, and arguments for both functions."""

    def __init__(self, case):
        sequence, captured = sequence_of(case), CellKey(case.cell)
        made = Program(sequence, captured, Backend("native"))
        made.complete(sequence)
        self.program = made.lowered
        given = (*sequence.state_parts, *sequence.input_parts, *captured.arrays)
        self.arrays = [t.data if isinstance(t, Tensor) else t for t in given]
        self.steps, self.parts = sequence.steps, len(sequence.state_parts)
        rng = np.random.default_rng(0)
        self.seeds = []
        for n, (shape, dtype) in enumerate(made.states):
            if n in self.program.output_grads:
                self.seeds.append(None)
            elif case.loss_alone and n < self.parts - 1:
                self.seeds.append(made.no_gradient(n, self.steps))
            else:
                self.seeds.append(rng.standard_normal((self.steps, *shape)).astype(dtype))
        windows = isinstance(sequence.truncation, Windows)
        self.ends = list(schedule(sequence.truncation, self.steps)) if windows else [0] * self.parts
        floats = [a.dtype for a in self.arrays if a.dtype.kind == "f"]
        self.tolerance = 2e-6 if np.float32 in floats else 1e-12

    def run(self, functions):
        forward, backward = functions
        found = [np.array(a) for a in forward(*self.arrays)]
        back = backward(*self.ends, *self.seeds, *self.arrays[self.parts :])
        return found + [None if g is None else np.array(g) for g in back]

    def check(self, functions):
        expected = self.run(interpreter.maker(self.program)(self.steps))
        found = self.run(functions)
        assert len(expected) == len(found)
        for mine, theirs in zip(expected, found, strict=True):
            assert (mine is None) == (theirs is None)
            if mine is not None:
                assert mine.dtype == theirs.dtype
                scale = np.abs(mine).max(initial=0)
                np.testing.assert_allclose(theirs, mine, rtol=0, atol=self.tolerance * scale)


@pytest.mark.parametrize("name", EVERY)
def test_the_numbers_are_the_interpreter_s(name):
    compiled = Compiled(EVERY[name]())
    translation = Translation(compiled.program)
    reasons = [line for line in translation.arrangement.left_to_numpy() if ", loop:" in line]
    if name in SPLIT:
        assert all(any(why in line for line in reasons) for why in SPLIT[name])
        assert any(run.each_step for run in translation.runs)
    elif name in MORE or name in IN_MACHINE_CODE:
        assert not reasons
    compiled.check(interpreter.maker(translation.result())(compiled.steps))


@pytest.mark.parametrize("name", range(16))
def test_random_cells(name):
    compiled = Compiled(random_case(name))
    compiled.check(interpreter.maker(Translation(compiled.program).result())(compiled.steps))


@pytest.mark.parametrize("name", [*SPLIT, "window", "window_lstm"])
def test_the_source_calls_machine_code_at_each_step(name):
    compiled = Compiled(EVERY[name]())
    source, names, _ = page.written(compiled.program)
    assert "step_backward_" in source
    assert ("np.einsum" in source) == (name == "einsum")
    exec(source, names)
    compiled.check(names["program"](compiled.steps))


@pytest.mark.parametrize(("register", "tile"), [(32, 6), (16, 6)])
def test_other_registers(register, tile, monkeypatch):
    """The tiles and vectors of other processors, as far as this one can run them."""
    machine = objects.machine()._replace(bytes=register, rows=tile, vectors=2)
    monkeypatch.setattr(objects, "machine", lambda: machine)
    compiled = Compiled(MORE["wide_loss_float32"]())
    compiled.check(interpreter.maker(Translation(compiled.program).result())(compiled.steps))


def test_the_number_of_steps_is_none_of_the_machine_code():
    compiled = Compiled(MORE["wide_lstm_float32"]())
    make = interpreter.maker(Translation(compiled.program).result())
    for steps in (1, 2, 3, T):
        compiled.steps = steps
        n = compiled.parts
        initial, xs, weights = compiled.arrays[:n], compiled.arrays[n], compiled.arrays[n + 1 :]
        whole = compiled.arrays
        compiled.arrays = [*initial, xs[:steps], *weights]
        seeds, compiled.seeds = compiled.seeds, [s[:steps] for s in compiled.seeds]
        compiled.check(make(steps))
        compiled.arrays, compiled.seeds = whole, seeds


def test_arguments_of_any_form():
    """Read-only, not contiguous, or in another order."""
    compiled = Compiled(MORE["wide_gru_float32"]())
    odd = []
    for array in compiled.arrays:
        array = np.asfortranarray(array) if array.ndim > 1 else np.repeat(array, 2)[::2]
        array.flags.writeable = False
        odd.append(array)
    make = interpreter.maker(Translation(compiled.program).result())
    expected = compiled.run(make(compiled.steps))
    compiled.arrays = odd
    for mine, theirs in zip(expected, compiled.run(make(compiled.steps)), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_steps_read_the_copy_of_an_argument():
    """An array in another order is copied for machine code, and the copy lives until the last
    step."""
    rng = np.random.default_rng(0)
    state = rng.standard_normal((B, H)), rng.standard_normal((B, H))
    xs = np.asfortranarray(rng.standard_normal((1, B, H)))  # freed, its memory is used at once

    def cell(x, state):
        h, c = state
        return np.tanh(tg.one_hot(np.argmax(c, axis=-1), H, np.float64) * c + x), np.sin(h)

    (mine, _), _ = tg.scan(cell, xs, state, backend="native")
    (theirs, _), _ = tg.scan(cell, xs, state)
    np.testing.assert_allclose(mine.data, theirs.data, rtol=0, atol=1e-14)


def test_a_wrong_label_is_said_as_numpy_says_it():
    compiled = Compiled(with_loss(tg.RNNCell(D, H, rng=0), loss_alone=True))
    labels = compiled.arrays[compiled.parts + 1]
    forward, _ = interpreter.maker(Translation(compiled.program).result())(compiled.steps)
    for wrong in (-1, 5, 7):
        compiled.arrays[compiled.parts + 1] = np.where(labels == labels[0, 0], wrong, labels)
        with pytest.raises(ValueError, match=r"the labels must lie in 0\.\.4"):
            forward(*compiled.arrays)


def test_not_a_number_stays_not_a_number():
    compiled = Compiled(CASES["lstm"]())
    make = interpreter.maker(Translation(compiled.program).result())
    compiled.arrays[compiled.parts][2, 1, 0] = np.nan
    states, *_ = compiled.run(make(compiled.steps))
    assert np.isnan(states[2:, 1]).all()
    assert np.isfinite(states[:, 0]).all() and np.isfinite(states[:2]).all()


def test_scan_and_its_source():
    cell, xs = tg.LSTMCell(D, H, rng=0), inputs()
    (states, _), _ = tg.scan(cell, xs, backend="native")
    (expected, _), _ = tg.scan(cell, xs)
    np.testing.assert_allclose(states.data, expected.data, atol=1e-14)
    np.sum(states * states).backward()
    found = {name: p.grad for name, p in cell.parameters().items()}
    for p in cell.parameters().values():
        p.grad = None
    np.sum(expected * expected).backward()
    for name, p in cell.parameters().items():
        np.testing.assert_allclose(found[name], p.grad, atol=1e-13)
    source = tg.scan_source(cell, xs, backend="native")
    assert "run_forward_1(" in source
    assert "machine code" in source
    assert "for h_t" not in source
    assert "define i64 @forward_1" in tg.scan_source(cell, xs, llvm_ir=True)


@pytest.mark.parametrize(
    "options", [{"checkpoint": 2, "block": 2}, {"block": 4}, {"outputs": "last"}]
)
def test_blocks_and_checkpoints(options):
    cell, xs = tg.GRUCell(D, H, rng=0), inputs(B)
    grads = []
    for backend in ("numpy", "native"):
        _, last = tg.scan(cell, xs, backend=backend, **options)
        np.sum(last * last).backward()
        grads.append({name: p.grad for name, p in cell.parameters().items()})
        for p in cell.parameters().values():
            p.grad = None
    for name, gradient in grads[0].items():
        np.testing.assert_allclose(grads[1][name], gradient, atol=1e-13)


def test_an_unknown_back_end():
    with pytest.raises(ValueError, match="must be 'numpy' or 'native', not 'fortran'"):
        tg.scan(tg.RNNCell(D, H), inputs(), backend="fortran")
    with pytest.raises(ValueError, match="backend must be"):
        tg.BPTT(tg.RNNCell(D, H), tg.mse, backend="fortran")


def test_training():
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((T, B, H))
    cell, xs = tg.RNNCell(D, H, rng=0), inputs()
    losses, grads = [], []
    for backend in (None, "native"):
        bptt = tg.BPTT(cell, tg.mse, tg.Subsequence(2), backend=backend)
        for _ in range(2):
            loss, _ = bptt(xs, targets)
        losses.append(loss)
        grads.append({name: p.grad for name, p in bptt.parameters().items()})
        for p in bptt.parameters().values():
            p.grad = None
    assert abs(losses[0] - losses[1]) < 1e-14
    for name, gradient in grads[0].items():
        np.testing.assert_allclose(grads[1][name], gradient, atol=1e-14)
    assert "machine code" in bptt.source(xs, targets)
    assert "machine code" not in bptt.source(xs, targets, backend="numpy")
    assert "define i64 @backward_1" in bptt.source(xs, targets, llvm_ir=True)


def fast_weights():
    """A matrix that is made anew at each step, and multiplied with."""
    U = weight(H, H, name="U")

    def cell(x, h):
        A = np.tanh(h.T @ x)
        return np.tanh(x @ A + h @ U)

    return Case(cell, inputs(width=H), tg.Tensor(inputs(width=H)[0]))


def test_a_matrix_of_the_loop_is_not_packed_beforehand():
    compiled = Compiled(fast_weights())
    compiled.check(interpreter.maker(Translation(compiled.program).result())(compiled.steps))


@pytest.mark.parametrize("name", ["tied_weights", "masked"])
def test_a_program_is_written_in_one_way(name):
    case = CASES[name]()
    given = case.cell, case.xs, case.state, case.truncation, case.reset
    assert len({tg.scan_source(*given, backend="native") for _ in range(4)}) == 1


@pytest.mark.parametrize("name", ["wide_float32", "wide_loss_float32", "of_functions"])
def test_threads_have_the_numbers_of_one(name):
    compiled = Compiled(MORE[name]())
    one = Translation(compiled.program)
    two = Translation(compiled.program, threads=2)
    forms = [part.form for parts in two.functions.values() for part in parts]
    assert (Form.DIVIDED in forms) == (name != "of_functions")  # two rows are no two tiles
    mine, theirs = (compiled.run(interpreter.maker(t.result())(compiled.steps)) for t in (one, two))
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_types_in_one_loop():
    """Always the same text, whatever order sets have: otherwise no process finds the machine code
    of another."""
    text = Translation(Compiled(of_two_types()).program).text
    lanes = objects.machine().lanes("double")
    assert f"load <{lanes} x float>" in text
    assert f"load <{2 * lanes} x double>" not in text


def test_threads_of_numpy_are_not_ours():
    with pytest.raises(ValueError, match='threads=2 needs backend="native"'):
        tg.scan(tg.RNNCell(D, H), inputs(), backend="numpy", threads=2)
    with pytest.raises(ValueError, match="threads must be at least 1, not 0"):
        tg.BPTT(tg.RNNCell(D, H), tg.mse, backend="native", threads=0)


def test_single_numbers_of_an_array():
    w = weight(2, name="w")

    def cell(x, h):
        return np.stack([np.tanh(h[1] * w[0] + x[0]), h[0] * w[1] - x[1]])

    xs, start = inputs()[:, 0], np.array([0.3, -0.2])
    (states, _), (expected, _) = (tg.scan(cell, xs, start, backend=b) for b in ("native", None))
    np.testing.assert_allclose(states.data, expected.data, atol=1e-15)
    grads = []
    for found in (states, expected):
        w.grad = None
        np.sum(found * found).backward()
        grads.append(w.grad)
    np.testing.assert_allclose(*grads, atol=1e-14)
