"""Derivatives of functions: nesting, closures, structures, marks."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.engine.backward import pull_on_arrays, reverse_pass
from tinygrad_rnn.engine.gradients import between
from tinygrad_rnn.engine.table import plain

rng = np.random.default_rng(0)
x = rng.uniform(0.5, 1.5, 3)
A = rng.standard_normal((3, 3))


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def f(x):
    return np.sum(np.tanh(A @ x) * x**3)


def test_orders_one_to_five_of_sine():
    g = np.sin
    for expected in (np.cos, lambda t: -np.sin(t), lambda t: -np.cos(t), np.sin, np.cos):
        g = tg.grad(g)
        close(g(0.7), expected(0.7))


def test_results_are_plain_arrays():
    value, gradient = tg.value_and_grad(f)(x)
    assert isinstance(value, np.floating) and type(gradient) is np.ndarray
    assert type(tg.hessian(f)(x)) is np.ndarray
    assert type(tg.hvp(f, x, x)) is np.ndarray
    assert type(tg.jvp(np.sin, (x,), (x,))[1]) is np.ndarray


def test_a_constant_from_outside_leaves_results_plain():
    constant, found = tg.Tensor(np.ones(3)), []
    assert not constant.node.requires_grad  # a node that is older than the variables

    def outer(a):
        value, _ = tg.vjp(lambda x: x * constant, x)
        found.append(type(value))
        return a

    tg.grad(outer)(1.0)
    assert found == [np.ndarray]


def test_the_first_argument_is_differentiated_if_none_is_named():
    for of_first in (tg.grad, lambda f: lambda *args: tg.value_and_grad(f)(*args)[1], tg.jacobian):
        assert of_first(lambda a, b: a * b)(2.0, 3.0) == 3.0


def test_results_are_the_callers_own():
    _value, pullback = tg.vjp(lambda a, b: a + b, x, x)
    g = np.ones(3)
    first, second = pullback(g)
    first += 1
    close(second, np.ones(3))
    close(g, np.ones(3))
    first, second = tg.gradients(np.sum(a := tg.Tensor(x, requires_grad=True)), [a, a])
    first += 1
    close(second, np.ones(3))


def test_hessian_is_symmetric_and_agrees_with_its_products():
    H = tg.hessian(f)(x)
    v = rng.standard_normal(3)
    close(H, H.T)
    close(tg.hvp(f, x, v), H @ v)
    close(tg.jvp(tg.grad(f), (x,), (v,))[1], H @ v)
    close(tg.vjp(tg.grad(f), x)[1](v)[0], H @ v)
    close(tg.jacobian(tg.grad(f))(x), H)


def test_mixed_third_order_agrees_with_differences():
    v = rng.standard_normal(3)
    third = tg.grad(lambda x: tg.hvp(f, x, v) @ v)(x)
    h = 1e-4

    def along(t):
        return tg.hvp(f, x + t, v) @ v

    for i, e in enumerate(np.eye(3)):
        assert abs((along(h * e) - along(-h * e)) / (2 * h) - third[i]) < 1e-5 * abs(third[i])
    close(third, tg.jacobian(tg.jacobian(tg.grad(f)))(x) @ v @ v)


def test_jvp_of_jvp_and_of_vjp():
    v = rng.standard_normal(3)
    second = tg.jvp(lambda x: tg.jvp(np.sin, (x,), (v,))[1], (x,), (v,))[1]
    close(second, -np.sin(x) * v * v)
    mixed = tg.jvp(lambda x: tg.vjp(np.sin, x)[1](v)[0], (x,), (v,))[1]
    close(mixed, -np.sin(x) * v * v)


def test_no_perturbation_confusion():
    # d/dx (x · d/dy (x + y)) = 1, where a mix-up of x's and y's variables gives 2.
    close(tg.grad(lambda x: x * tg.grad(lambda y: x + y)(1.0))(1.0), 1.0)
    close(tg.grad(lambda x: x * tg.grad(lambda y: x * y)(x))(3.0), 6.0)
    close(tg.grad(lambda x: tg.jvp(lambda y: x * y, (x,), (1.0,))[1])(3.0), 1.0)
    # The inner variable is the outer one: only the inner use counts inside.
    close(tg.grad(lambda x: tg.grad(lambda y: y * x)(x) * x)(2.0), 4.0)


def test_a_closure_over_a_parameter():
    """Arrays come out; a penalty on a gradient is a derivative within a derivative, or made by
    `gradients` with create_graph."""
    W = tg.Tensor(A, requires_grad=True, name="W")
    slope = tg.grad(lambda x: np.sum(np.tanh(x @ W)))(x)
    assert type(slope) is np.ndarray
    assert type(tg.jacobian(lambda x: np.tanh(x @ W))(x)) is np.ndarray
    assert all(type(part) is np.ndarray for part in tg.jvp(lambda x: np.tanh(x @ W), x, x))
    point = tg.Tensor(x, requires_grad=True)
    (tracked,) = tg.gradients(np.sum(np.tanh(point @ W)), [point], create_graph=True)
    close(tracked.data, slope)
    np.sum(tracked**2).backward()
    close(W.grad, tg.grad(lambda W: np.sum(tg.grad(lambda x: np.sum(np.tanh(x @ W)))(x) ** 2))(A))
    tg.check_gradients(
        lambda W: np.sum(tg.grad(lambda x: np.sum(np.tanh(x @ W)))(x) ** 2), A, order=2
    )


def test_tracked_arguments_give_tracked_results():
    w = tg.Tensor(2.0, requires_grad=True)
    slope = tg.grad(lambda x: x**3)(w)
    assert slope.requires_grad
    slope.backward()
    close(w.grad, 12.0)


def test_the_backward_pass_is_recorded_only_when_somebody_needs_it():
    calls = []

    def seen(x):
        return x * x

    def pullback(g, x):
        calls.append(type(x))
        return 2 * g * x

    seen = tg.derivative(seen, pullback)
    tg.grad(seen)(2.0)
    tg.jacobian(seen)(2.0)
    tg.vjp(seen, 2.0)[1](1.0)
    assert tg.Tensor not in calls
    tg.grad(tg.grad(seen))(2.0)
    assert tg.Tensor in calls


def test_only_the_way_to_the_inputs_is_walked():
    calls = []

    def noted(x):
        return x + 0

    noted = tg.derivative(noted, lambda g: (calls.append(1), g)[1])
    w = tg.Tensor(2.0, requires_grad=True)
    h = noted(w)
    (gradient,) = tg.gradients(h * h, [h])
    close(gradient, 4.0)
    assert not calls


def test_structures_and_keywords():
    def loss(parameters, x, *, scale, others=()):
        y = np.tanh(x @ parameters["W"] + parameters["b"][0])
        return np.sum(y) * scale["s"] + sum(np.sum(o) for o in others)

    parameters = {"W": A, "b": [np.zeros(3)]}
    scale = {"s": np.array(2.0)}
    gradient = tg.grad(loss)(parameters, x, scale=scale)
    assert gradient.keys() == {"W", "b"} and isinstance(gradient["b"], list)
    y = np.tanh(x @ A)
    close(gradient["b"][0], 2 * (1 - y * y))
    by_x, by_scale, by_others = tg.grad(loss, argnums=(1, "scale", "others"))(
        parameters, x, scale=scale, others=(x, x)
    )
    close(by_scale["s"], np.sum(y))
    close(by_x, A @ (2 * (1 - y * y)))
    assert isinstance(by_others, tuple) and len(by_others) == 2
    tg.check_gradients(lambda p: loss(p, x, scale={"s": 2.0}), parameters)
    outputs, pullback = tg.vjp(lambda p: {"a": [p["u"] * 2], "b": p["u"] ** 2}, {"u": x})
    assert outputs.keys() == {"a", "b"}
    close(pullback({"a": [np.ones(3)], "b": np.ones(3)})[0]["u"], 2 + 2 * x)
    J = tg.jacobian(lambda p: {"b": p["u"] ** 2})({"u": x})
    close(J["b"]["u"], np.diag(2 * x))
    H = tg.hessian(lambda a, b: a @ b, argnums=(0, 1))(x, x)
    close(H[0][1], np.eye(3))
    close(H[0][0], np.zeros((3, 3)))


def test_jacobian_shapes():
    close(tg.jacobian(lambda x: A @ x)(x), A)
    assert tg.jacobian(lambda x: np.reshape(x, (3, 1)) * np.ones((1, 2)))(x).shape == (3, 2, 3)
    assert tg.jacobian(lambda x: x[:0])(x).shape == (0, 3)
    assert tg.jacobian(np.sum)(x).shape == (3,)


def test_what_does_not_depend_has_gradient_zero():
    close(tg.grad(lambda x: 5.0)(x), np.zeros(3))
    close(tg.grad(lambda x, y: np.sum(y), argnums=0)(x, x), np.zeros(3))
    _value, change = tg.jvp(lambda x: np.ones(2), (x,), (x,))
    close(change, np.zeros(2))


def test_float32_stays_float32():
    x32 = x.astype(np.float32)
    _value, gradient = tg.value_and_grad(f)(x32)
    assert gradient.dtype == np.float32
    assert tg.hvp(lambda x: np.sum(np.tanh(x) ** 3), x32, x32).dtype == np.float32
    mixed = tg.grad(lambda a, b: np.sum(a * b), argnums=(0, 1))(x32, x)
    assert [m.dtype for m in mixed] == [np.float32, np.float64]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: tg.grad(np.tanh)(x), ValueError, r"one number.*\(3,\)"),
        (lambda: tg.grad(np.tanh)(3), TypeError, "int64.*astype"),
        (lambda: tg.grad(f, argnums=1)(x), ValueError, "argnums names the argument 1"),
        (lambda: tg.grad(f, argnums=0.5)(x), ValueError, "argnums names the argument 0.5"),
        (
            lambda: tg.grad(f, argnums="w")(x),
            ValueError,
            "argnums names the argument 'w', .* and the keywords none",
        ),
        *(
            (
                lambda args=args: tg.grad(lambda *x, **kw: x, argnums="w")(*args, b=x, c=x),
                ValueError,
                f"^argnums names the argument 'w', but the call has {said} and the keywords b, c$",
            )
            for args, said in (
                ((), "0 positional arguments"),
                ((1.0,), "1 positional argument"),
                ((1.0, 1.0), "2 positional arguments"),
            )
        ),
        (
            lambda: tg.vjp(np.sin, x)[1](np.ones(7)),
            ValueError,
            r"the shape of the output, \(3,\), not \(7,\)",
        ),
        (lambda: tg.vjp(np.tanh, x)[1](np.ones(2)), ValueError, r"\(3,\), not \(2,\)"),
    ],
)
def test_errors_say_what_to_do(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_nodes_of_the_backward_pass_belong_to_the_step_of_the_forward_node():
    w = tg.Tensor(x, requires_grad=True)
    with tg.step(4), tg.scope("cell"):
        y = np.tanh(w) * np.float32(2)
    for ambient in (tg.step(9), tg.no_grad()):
        with ambient:
            (gradient,) = tg.gradients(y, [w], seed=np.ones(3), create_graph=True)
        made = [
            node for node in tg.tape(gradient) if node.position > y.node.position and node.edges
        ]
        assert made
        assert {(node.step, node.scope) for node in made} == {(y.node.step, y.node.scope)}


def test_the_passes_give_the_same():
    w = tg.Tensor(A, requires_grad=True)
    y = np.sum(np.tanh(w @ w + w[0]) * w.T / (1 + w[[0, 0, 1]] ** 2))
    fast = dict(reverse_pass([y.node], [np.ones(())]))
    plain = dict(reverse_pass([y.node], [np.ones(())], pull=pull_on_arrays))
    recorded = dict(reverse_pass([y.node], [np.ones(())], create_graph=True))
    assert fast.keys() == plain.keys() == recorded.keys()
    for node, gradient in plain.items():
        close(gradient, fast[node])
        other = recorded[node]
        close(gradient, other.data if isinstance(other, tg.Tensor) else other)


@pytest.mark.parametrize(
    "options",
    [{}, {"pull": pull_on_arrays}, {"create_graph": True}],
    ids=["fast", "plain", "recorded"],
)
def test_what_is_cut_between_the_run_and_the_pass_lets_nothing_through(options):
    w = tg.Tensor(2.0, requires_grad=True)
    inner = np.sin(w)
    y = (middle := inner * inner) + 3.0 * w
    nodes, _ = between([w.node], [y.node])
    middle.cut()
    found = dict(reverse_pass([y.node], [np.ones(())], nodes, **options))
    assert inner.node not in found and plain(found[w.node]) == 3.0


def test_places_from_the_end():
    product = lambda a, b: a * b  # noqa: E731
    assert [tg.grad(product, n)(2.0, 5.0) for n in (-2, -1, 0, 1)] == [5, 2, 5, 2]
    for place in (-3, 2):
        with pytest.raises(ValueError, match=f"argnums names the argument {place}"):
            tg.grad(product, place)(2.0, 5.0)


def test_one_value_returned_twice():
    (_, again), pullback = tg.vjp(lambda x: [y := x * x, y], 3.0)
    assert again == 9.0 and pullback([1.0, 2.0])[0] == 18.0


def test_the_identity_repeated_arguments_and_none():
    assert tg.grad(lambda x: x)(2.0) == 1
    close(tg.grad(lambda a, b: a @ b, argnums=0)(x, x), x)
    gradient = tg.grad(lambda p: np.sum(p["w"] ** 2))({"w": x, "b": None})
    assert gradient["b"] is None
    close(gradient["w"], 2 * x)


def test_a_pullback_made_inside_and_one_made_outside():
    def outer(x):
        _, pullback = tg.vjp(lambda y: y * x * x, 2.0)
        return pullback(1.0)[0]

    close(tg.grad(outer)(3.0), 6.0)
    _, pullback = tg.vjp(np.sin, 0.3)
    close(tg.grad(lambda g: pullback(g)[0])(1.0), np.cos(0.3))


def test_gradients_by_tensors_that_an_iterator_gives():
    v, w = (tg.Tensor([2.0, n], requires_grad=True) for n in (1.0, 3.0))
    found = tg.gradients(np.sum(v * w), (tensor for tensor in [v, w]))
    np.testing.assert_array_equal(found, [[2.0, 3.0], [2.0, 1.0]])


@pytest.mark.parametrize(
    ("inputs", "what"),
    [(lambda w: w, "Tensor$"), (lambda w: None, "NoneType$"), (lambda w: {"w": w}, "dict of str$")],
)
def test_gradients_by_no_list_of_tensors_are_refused(inputs, what):
    w = tg.Tensor([2.0], requires_grad=True)
    with pytest.raises(TypeError, match=rf"such as \[w\], but its type is {what}"):
        tg.gradients(np.sum(w), inputs(w))


def test_gradients_by_what_was_not_recorded_are_refused():
    w, c = tg.Tensor(x, requires_grad=True), tg.Tensor(x, name="c")
    with pytest.raises(TypeError, match=r"c of shape \(3,\) needs no gradient"):
        tg.gradients(np.sum(w * c), [w, c])


def test_a_function_that_returns_nothing():
    def forgot(x):
        x * 2

    for transform in (tg.grad, tg.jacobian):
        with pytest.raises(TypeError, match="forgot returned None, which has no gradient"):
            transform(forgot)(1.0)
