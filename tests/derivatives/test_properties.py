"""Shapes, axes, index expressions and einsum strings, drawn at random."""

import numpy as np
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_rnn as tg

quick = settings(max_examples=60, deadline=None)
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


def numbers(shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(0.5, 2.0, shape)


@st.composite
def broadcastable(draw):
    drawn = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3))
    return drawn.input_shapes


@quick
@given(broadcastable(), st.sampled_from([np.add, np.multiply, np.true_divide, np.power, np.hypot]))
def test_broadcasting(pair, f):
    tg.check_gradients(f, numbers(pair[0]), numbers(pair[1], 1))


@st.composite
def shape_and_axes(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3))
    axes = hnp.valid_tuple_axes(len(shape), min_size=1)
    axis = draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1), axes))
    return shape, axis


@quick
@given(
    shape_and_axes(),
    st.booleans(),
    st.sampled_from([np.sum, np.mean, np.prod, np.max, np.var, np.median, np.ptp, np.nanmean]),
)
def test_reductions(drawn, keepdims, f):
    shape, axis = drawn
    x = np.random.default_rng([7, *shape]).permutation(numbers((int(np.prod(shape)),)))
    x = x.reshape(shape)
    np.testing.assert_allclose(
        f(tg.Tensor(x, requires_grad=True), axis=axis, keepdims=keepdims).data,
        f(x, axis=axis, keepdims=keepdims),
        rtol=1e-13,
        atol=1e-14,
    )
    tg.check_gradients(lambda x: f(x, axis=axis, keepdims=keepdims), x)


@st.composite
def shape_and_index(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    basic = hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)
    integers = hnp.integer_array_indices(
        shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3)
    )
    mask = hnp.arrays(bool, shape)
    return shape, draw(st.one_of(basic, integers, mask))


@quick
@given(shape_and_index())
def test_indexing(drawn):
    shape, index = drawn
    tg.check_gradients(lambda x: x[index] ** 2, numbers(shape))


@st.composite
def subscripts(draw):
    sizes = dict(
        zip("ijkl", draw(st.lists(st.integers(0, 3), min_size=4, max_size=4)), strict=True)
    )
    operands = draw(
        st.lists(st.text(alphabet="ijkl", min_size=0, max_size=3), min_size=1, max_size=3)
    )
    letters = sorted(set("".join(operands)))
    output = draw(st.permutations(letters)) if letters else []
    output = "".join(output[: draw(st.integers(0, len(output)))])
    stacks = [()] * len(operands)
    if draw(st.booleans()):
        drawn = hnp.mutually_broadcastable_shapes(
            num_shapes=len(operands), max_dims=2, max_side=2, min_side=0
        )
        stacks = draw(drawn).input_shapes
        operands, output = ["..." + operand for operand in operands], "..." + output
    written = ",".join(operands) + draw(st.sampled_from(["->" + output, ""]))
    return written, [
        (*stack, *(sizes[letter] for letter in operand.replace(".", "")))
        for stack, operand in zip(stacks, operands, strict=True)
    ]


@quick
@given(subscripts())
def test_einsum(drawn):
    written, operands = drawn
    arrays = [numbers(shape, n) for n, shape in enumerate(operands)]
    tg.check_gradients(lambda *arrays: np.einsum(written, *arrays), *arrays)


@quick
@given(shapes, st.data())
def test_moving_numbers_around(shape, data):
    x = numbers(shape)
    order = data.draw(st.permutations(range(len(shape))))
    tg.check_gradients(lambda x: np.transpose(x, order) ** 2, x)
    tg.check_gradients(lambda x: np.reshape(x, -1) ** 2, x)
    if shape:
        axis = data.draw(st.integers(-len(shape), len(shape) - 1))
        shift = data.draw(st.integers(-4, 4))
        tg.check_gradients(lambda x: np.roll(x, shift, axis) ** 2, x)
        tg.check_gradients(lambda x: np.flip(x, axis) * np.cumsum(x, axis), x)
        tg.check_gradients(lambda x: np.concatenate([x, x * x], axis), x)
        tg.check_gradients(lambda x: np.repeat(x, 2, axis), x)


@quick
@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.data())
def test_matmul_of_every_rank(n, m, k, data):
    stacks = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=2))
    left, right = stacks.input_shapes
    a = data.draw(st.sampled_from([(m,), (*left, n, m)]))
    b = data.draw(st.sampled_from([(m,), (*right, m, k)]))
    tg.check_gradients(np.matmul, numbers(a), numbers(b, 1))
