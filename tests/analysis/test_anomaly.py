"""NaN and infinity, found where they are made: forward, backward, in a scan, in several threads."""

import threading

import dask.array
import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.engine.backward import reverse_pass
from tinygrad_rnn.engine.operators import use_fast_path
from tinygrad_rnn.engine.recording import current_mark
from tinygrad_rnn.engine.table import RULES
from tinygrad_rnn.engine.trees import flatten

FORWARD_AND_BACK = [tg.unroll, tg.scan]


def leaf(*numbers, name=None, dtype=np.float64):
    return tg.Tensor(np.array(numbers, dtype), requires_grad=True, name=name)


@pytest.fixture(autouse=True)
def _everything_is_put_back():
    before = current_mark(), np.geterr()
    yield
    assert (current_mark(), np.geterr()) == before


# Forward ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compute", "sentence"),
    [
        (lambda p: np.log(p), r"log at step 2 in head/inner \(.*py, line \d+\) made 1 infinite "
         r"entry of 3 in a value of shape \(3,\) from p of shape \(3,\) with entries of 0 to 2: "
         r"it has a pole there"),
        (lambda p: p / p, r"divide at step 2 .* 1 NaN entry of 3 .* from p .* and p .* not defin"),
        (lambda p: 1.0 / p, r"divide .* 1 infinite entry of 3 .* from 1 and p .*: it has a pole"),
        (lambda p: np.sum(1 / p, axis=0), r"divide .* 1 infinite entry of 3 .* from 1 and p of"),
        (lambda p: p / 0.0, r"divide .* 1 NaN and 2 infinite entries of 3 .* from p .* and 0: "),
        (lambda p: np.sqrt(p - 1), r"sqrt .* 1 NaN entry of 3 .* what subtract at step 2 in "
         r"head/inner made, of shape \(3,\) with entries of -1 to 1: it is not defined there"),
        (lambda p: np.exp(p * 1000), r"exp .* 2 infinite entries of 3 .* 0 to 2e\+03: it overfl"),
        (lambda p: p.dot(p * 1e307) * 10, r"multiply .* 1 infinite entry of 1 .* from what matmul"),
        (lambda p: np.concatenate([p, np.array([np.nan])]), r"an array of shape \(1,\) has 1 NaN "
         r"entry of 1 before concatenate at step 2 .* uses it: it came in so"),
        (lambda p: (p * 2)[np.array([0, 1])] ** -1, r"power .* from what getitem at step 2"),
        (lambda p: np.multiply.reduce(p + 1e200), r"prod .* 1 infinite entry of 1 .* overflowed"),
        (lambda p: np.mean(p[:0]), r"mean .* 1 NaN entry .* of shape \(0,\) without entries: it"),
        (lambda p: tg.grad(lambda v: np.sum(np.log(v)))(p), r"log .* from p of shape \(3,\) with"),
        (lambda p: np.linalg.eigh(np.full((4, 4), 1e308) + p[0]), r"eigh .* 1 infinite entry of 20 "
         r"in a value of shape \(\(4,\), \(4, 4\)\) from what add at step 2"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
def test_a_value_is_found_where_it_is_made(compute, sentence):
    p = leaf(0.0, 1.0, 2.0, name="p")
    with (
        pytest.raises(FloatingPointError, match=f"^{sentence}"),
        tg.anomaly(),
        tg.step(2),
        tg.scope("head"),
        tg.scope("inner"),
    ):
        compute(p)


def test_float64_is_advised_where_it_would_help():
    for dtype, helps in [(np.float32, True), (np.float64, False)]:
        with pytest.raises(FloatingPointError) as problem, tg.anomaly():
            np.exp(leaf(1000.0, dtype=dtype))
        assert ("float64" in str(problem.value)) is helps


@pytest.mark.parametrize("run", FORWARD_AND_BACK)
def test_an_input_that_is_not_a_number(run):
    xs = np.ones((6, 2, 3))
    xs[3, 0, 1] = np.nan
    sentence = r"^x_4 of shape \(2, 3\) has 1 NaN entry of 6 before matmul at step 3 .* the data"
    with pytest.raises(FloatingPointError, match=sentence), tg.anomaly():
        run(tg.RNNCell(3, 4, rng=0), xs)


@pytest.mark.parametrize("run", FORWARD_AND_BACK)
def test_a_parameter_that_is_not_a_number(run):
    cell = tg.RNNCell(3, 4, rng=0)
    W = cell.W_hh.data.copy()
    W[1, 2] = np.nan
    cell.W_hh.data = W
    sentence = r"^W_hh of shape \(4, 4\) has 1 NaN entry of 16 before matmul at step 0 .* update"
    with pytest.raises(FloatingPointError, match=sentence), tg.anomaly():
        run(cell, np.ones((6, 2, 3)))


def doubling(factor, dtype=np.float64):
    """h_t = x_t + factor · h_{t−1}, which starts from h_0 = 1."""
    w = tg.Tensor(np.full(3, factor, dtype), requires_grad=True, name="w")
    return (lambda x, h: x + h * w), np.zeros((12, 2, 3), dtype), np.ones((2, 3), dtype)


@pytest.mark.parametrize("run", FORWARD_AND_BACK)
def test_a_state_that_explodes_is_found_at_its_step(run):
    cell, xs, h_0 = doubling(1e8, np.float32)  # 1e8 ** 5 is beyond float32: at step 4
    sentence = r"^multiply at step 4 .*6 infinite entries of 6 .* from h_4 .* of 1e\+32 and w of"
    with pytest.raises(FloatingPointError, match=sentence), tg.anomaly():
        run(cell, xs, h_0)


def test_every_part_of_a_scans_state_is_opened():
    cell = tg.LSTMCell(3, 4, rng=0)
    xs = np.ones((6, 2, 3))
    xs[2] = np.nan
    with pytest.raises(FloatingPointError, match=r"^x_3 .* at step 2"), tg.anomaly():
        tg.scan(cell, xs)


def test_what_was_made_outside_of_the_block():
    with np.errstate(divide="ignore"):
        value = np.log(leaf(0.0))
    sentence = (
        r"^what log made, of shape \(1,\) has 1 inf.* before sum .* outside of the block.*NaN"
    )
    with pytest.raises(FloatingPointError, match=sentence), tg.anomaly():
        np.sum(value)


def test_a_scan_whose_weights_are_others_by_now():
    """Run step by step, it is finite: it cannot be opened any more."""
    w, h = leaf(1e200, name="w"), leaf(1e200)
    with np.errstate(over="ignore"):
        states, _ = tg.scan(lambda x, h: h * w + x, np.ones((4, 1)), h)
    w.data = np.ones(1)
    sentence = r"^h of shape \(4, 1\) has 4 infinite entries .* before sum .*a scan is one value"
    with pytest.raises(FloatingPointError, match=sentence), tg.anomaly():
        np.sum(states)


def test_arrays_of_another_kind():
    w = tg.Tensor(dask.array.from_array(np.array([1.0, 0.0])), requires_grad=True, name="w")
    made, passed = r"log .* 1 infinite entry of 2 .* of 0 to 1: ", r"sqrt .* x, w of .* 1 infinite"
    with pytest.raises(FloatingPointError, match=made), tg.anomaly():
        np.log(w)
    with pytest.raises(FloatingPointError, match=passed), tg.anomaly():
        np.sum(np.sqrt(w)).backward()


def test_infinities_that_are_meant():
    w = leaf(1.0, 2.0)
    mask = np.array([0.0, -np.inf])
    with tg.anomaly(infinite=False):
        np.sum(tg.softmax(w + mask) ** 2).backward()
    assert np.all(np.isfinite(w.grad))
    with pytest.raises(FloatingPointError, match=r"1 NaN entry"), tg.anomaly(infinite=False):
        (w + mask) - (w + mask)
    with pytest.raises(FloatingPointError, match=r"infinite=False"), tg.anomaly():
        w + mask


# Backward ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compute", "sentence"),
    [
        (np.sqrt, r"the gradient that sqrt at step 1 \(.*\) passes back to its argument x, p of "
         r"shape \(2,\), has 1 infinite entry of 2, .* of 1, is finite: it divided by zero"),
        (lambda p: np.sqrt(p * 3), r".*argument x, what multiply at step 1 made, of shape \(2,\)"),
        (lambda p: p**0.5, r".* power at step 1 .* argument x1, p .* divided by zero"),
        (lambda p: np.divide(1.0, p + 1e-300), r".* divide .* argument x2, .* it overflowed"),
        (lambda p: np.concatenate([p * 3, np.sqrt(p)]), r".* sqrt at step 1 .* argument x, p of"),
    ],
)  # fmt: skip
def test_a_gradient_is_found_where_it_is_made(compute, sentence):
    p = leaf(1.0, 0.0, name="p")
    with tg.anomaly():
        with tg.step(1):
            y = compute(p)
        with pytest.raises(FloatingPointError, match=f"^{sentence}"):
            np.sum(y).backward()
    assert p.grad is None


def growing(run, T=20):
    """A loss whose gradient is 10⁴ times larger with every step that it goes back."""
    W = tg.Tensor(np.full((2, 3), 1e-30, np.float32), requires_grad=True, name="W")
    V = tg.Tensor(1e4 * np.eye(3, dtype=np.float32), requires_grad=True, name="V")
    xs, h_0 = np.zeros((T, 4, 2), np.float32), np.zeros((4, 3), np.float32)
    _, last = run(lambda x, h: np.tanh(x @ W + h @ V), xs, h_0)
    return np.sum(last), W, V


@pytest.mark.parametrize(
    "options",
    [
        {"checkpoint": 3},
        {"outputs": "last"},
        {"truncation": tg.Window(15)},
        {"truncation": tg.Randomized(0.99, rng=0)},
    ],
)
def test_a_scan_is_opened_as_it_was_run(options):
    with (
        pytest.raises(FloatingPointError, match=r"^the gradient that matmul at step 10 "),
        tg.anomaly(),
    ):
        growing(lambda *given: tg.scan(*given, **options))[0].backward()


def test_truncation_that_keeps_the_gradient_finite():
    with tg.anomaly():
        loss, _, V = growing(lambda *given: tg.scan(*given, truncation=tg.Subsequence(4)))
        loss.backward()
    assert np.isfinite(V.grad).all()


def dot_reports_its_overflow():
    """Whether NumPy reports an overflow in `np.dot`, as the pull-back needs. NumPy 2.0 does not."""
    large = np.full((2, 2), 1e30, np.float32)
    try:
        with np.errstate(over="raise"):
            np.dot(large, large)
    except FloatingPointError:
        return True
    return False


@pytest.mark.parametrize("run", FORWARD_AND_BACK)
@pytest.mark.parametrize("inside", [True, False])
def test_an_exploding_gradient_is_found_at_its_step(run, inside):
    # 1 at step 19, 1e4 at step 18, ..., 1e36 at step 10, whose product with V is too large.
    why = "it overflowed, .*Subseq" if dot_reports_its_overflow() else "what went in is too large"
    sentence = (
        r"^the gradient that matmul at step 10 .*passes back to its argument x1, h_10 of shape "
        rf"\(4, 3\), has 12 infinite entries of 12, .* of 1e\+36, is finite: {why}"
    )
    if not inside:  # recorded before
        loss, *_ = growing(run)

    def transforms():
        made = growing(run)[0] if inside else loss
        made.backward()

    with pytest.raises(FloatingPointError, match=sentence), tg.anomaly():
        transforms()


def test_every_reader_of_the_sweep_is_watched():
    loss, W, V = growing(tg.unroll)
    for read in [
        lambda: tg.gradients(loss, [W]),
        lambda: tg.gradients(loss, [W], create_graph=True),
        lambda: tg.contributions(loss, V),
        lambda: loss.backward(np.float32(1)),
    ]:
        with pytest.raises(FloatingPointError, match=r"matmul at step 10"), tg.anomaly():
            read()
    for read in [tg.grad, tg.value_and_grad, tg.jacobian]:
        with pytest.raises(FloatingPointError, match=r"sqrt .* argument x, "), tg.anomaly():
            read(lambda x: np.sum(np.sqrt(x)))(np.array([1.0, 0.0]))


def test_a_pass_that_is_not_recorded_is_watched():
    w = tg.Tensor([0.0], requires_grad=True)
    outside = np.sum(w * 2)
    with tg.anomaly():
        inside = np.sum(np.sqrt(w))
        with tg.no_grad():
            with pytest.raises(FloatingPointError, match="sqrt"):
                inside.backward()
            passed = reverse_pass([inside.node, outside.node], [np.array(1.0), np.array(1.0)])
            with pytest.raises(FloatingPointError, match="sqrt"):
                list(passed)


def test_a_block_that_has_ended_looks_at_nothing():
    """Nodes that were recorded inside keep its mark; a second derivative records under it."""
    w = leaf(1.0, 0.0)
    with tg.anomaly():
        y = np.sum(w**1.5)
    with np.errstate(all="ignore"):
        (first,) = tg.gradients(y, [w], create_graph=True)
        (second,) = tg.gradients(np.sum(first), [w], create_graph=True)
    assert np.isinf(second.data[1])


def test_finite_contributions_whose_sum_is_not():
    w = leaf(1.0, 1.0, name="w", dtype=np.float32)
    seed = np.full(2, 3e38, np.float32)
    with pytest.raises(FloatingPointError) as problem, tg.anomaly():
        (w * 1 + w).backward(seed)
    assert str(problem.value).startswith(
        "the gradient of w of shape (2,) has 2 infinite entries of 2, though what each of its uses "
        "contributes is finite: it overflowed"
    )


def test_a_seed_that_is_not_finite():
    sentence = r"^the gradient from above, for what multiply made, of shape \(2,\), has 1 NaN entry"
    with pytest.raises(FloatingPointError, match=sentence), tg.anomaly():
        (leaf(1.0, 2.0) * 2).backward(np.array([1.0, np.nan]))


def test_a_value_that_was_not_finite_before_the_block():
    w = leaf(np.inf, name="w")
    y = w * w
    sentence = (
        r"multiply passes back .*, w of .* keeps from the forward pass was not finite already"
    )
    with pytest.raises(FloatingPointError, match=sentence), tg.anomaly():
        y.backward()


@pytest.mark.parametrize("run", FORWARD_AND_BACK)
def test_second_derivatives(run):
    def cell(x, h):
        return h + (x * w) ** 1.5

    w = leaf(1.0, 0.0, name="w")
    with tg.anomaly():
        _, last = run(cell, np.ones((3, 2)), np.zeros(2))
        (first,) = tg.gradients(np.sum(last), [w], create_graph=True)
        with pytest.raises(FloatingPointError, match=r"power at step 0 .* divided by zero"):
            np.sum(first).backward()


# Nothing to find --------------------------------------------------------------------------


@pytest.mark.parametrize("run", FORWARD_AND_BACK)
@pytest.mark.parametrize("make", [tg.RNNCell, tg.LSTMCell, tg.GRUCell])
def test_a_finite_graph_is_as_it_is_without(run, make):
    xs = np.random.default_rng(0).normal(size=(7, 2, 3))

    def gradients():
        cell = make(3, 4, rng=0)
        states, last = run(cell, xs, truncation=tg.Window(2))
        parts = flatten([states, last])
        loss = sum(np.mean(h**2) for h in parts)
        loss.backward()
        return [loss.data, *(p.grad for p in cell.parameters().values())]

    without = gradients()
    with tg.anomaly():
        inside = gradients()
    for a, b in zip(inside, without, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_functions_of_several_arrays_and_of_integers():
    A = tg.Tensor(np.diag([3.0, 2.0]) + 0.1, requires_grad=True)
    with tg.anomaly():
        u, s, vh = np.linalg.svd(A)
        np.sum((u * s) @ vh).backward()
        assert np.argmax(A) == 0 and (A > 0).all()
    np.testing.assert_allclose(A.grad, np.ones((2, 2)), atol=1e-13)


def test_without_recording_nothing_is_looked_at():
    with tg.anomaly(), tg.no_grad():
        assert np.isinf(np.log(leaf(0.0)).data)


# The block --------------------------------------------------------------------------------


def test_blocks_nest():
    w = leaf(0.0)
    with tg.anomaly():
        with pytest.raises(FloatingPointError), tg.anomaly(infinite=False):
            w / w
        with tg.anomaly(infinite=False):
            1 / w
        with pytest.raises(FloatingPointError, match="infinite entry"):
            1 / w
    with np.errstate(divide="ignore"):
        1 / w


def test_numpys_own_warnings_come_back():
    w = leaf(0.0)
    with pytest.raises(FloatingPointError), tg.anomaly():
        1 / w
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        1 / w


def test_a_rule_that_is_entered_inside_stays(monkeypatch):
    monkeypatch.setitem(RULES, np.add, RULES[np.add])
    before = RULES[np.add]
    with tg.anomaly():
        tg.derivative(np.add, lambda g: 2 * g, lambda g: 3 * g)
    w = leaf(1.0)
    (w + w).backward()
    use_fast_path(np.add, before)
    assert w.grad == 5.0


def test_each_thread_has_its_own():
    entered, computed, problems = threading.Event(), threading.Event(), []

    def other():
        entered.wait()
        try:
            with np.errstate(divide="ignore"):
                w = leaf(0.0)
                np.log(w).backward()
            assert np.isinf(w.grad)
        except BaseException as problem:
            problems.append(problem)
        computed.set()

    thread = threading.Thread(target=other)
    thread.start()
    with tg.anomaly():
        entered.set()
        computed.wait()
        with pytest.raises(FloatingPointError):
            np.log(leaf(0.0))
    thread.join()
    assert not problems


def test_blocks_of_two_threads_that_overlap():
    """The one that was opened first is closed first; the other goes on looking."""
    opened, closed, found = threading.Event(), threading.Event(), []

    def other():
        with tg.anomaly():
            opened.set()
            closed.wait()
            try:
                np.log(leaf(0.0))
            except FloatingPointError as problem:
                found.append(problem)

    thread = threading.Thread(target=other)
    with tg.anomaly():
        thread.start()
        opened.wait()
    closed.set()
    thread.join()
    assert len(found) == 1
