"""Random cells: Python source of a module with a cell, its inputs and its initial state."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

N, K, CLASSES = 3, 2, 4
"""Features, states that are kept for attention, classes of the labels."""

HEADER = """\
import dataclasses, functools
import numpy as np
import tinygrad_rnn as tg

rng, dtype = np.random.default_rng({seed}), np.{dtype}
B, T, N, K, CLASSES = {B}, {T}, 3, 2, 4

def array(*shape, scale=0.6):
    return (scale * rng.standard_normal(shape)).astype(dtype)

def parameter(*shape):
    return tg.Tensor(array(*shape), requires_grad=True)

W, V, U = parameter(N, N), parameter(N, N), parameter(2 * N, N)
row, factor, table = parameter(N), parameter(), parameter(CLASSES, N)
tied = W.T * 0.5
plain, plain_table = np.abs(array(N)) + dtype(0.5), array(CLASSES, N)

@dataclasses.dataclass
class Settings:
    scale: float = 0.5
    mask: object = None

settings = Settings(0.5, np.array([1, 0, 1], dtype))

class Layer:
    def __init__(self, W):
        self.W, self.calls, self.history = W, 0, []
    def __call__(self, a):
        return np.tanh(a @ self.W) * settings.scale

layer = Layer(V)

def bent(a, slope):
    return np.tanh(slope * a)

half = functools.partial(bent, slope=0.5)

def norm(a):
    a = a - np.mean(a, axis=-1, keepdims=True)
    return a / np.sqrt(np.mean(a * a, axis=-1, keepdims=True) + dtype(0.1)) * row

def attention(a, m):
    weights = tg.softmax(np.einsum("bn,bkn->bk", a, m))
    return np.einsum("bk,bkn->bn", weights, m)
"""

SMOOTH = [
    "np.tanh({a} @ W + row)",
    "np.tanh({a} @ V)",
    "{a} + {b}",
    "{a} * {b}",
    "{a} - dtype(0.5) * {b}",
    "tg.sigmoid({a} + row) * {b}",
    "np.einsum('bi,ij->bj', {a}, V)",
    "{a} @ W.T",
    "np.reshape(({a} @ W).T, {b}.shape)",
    "np.tanh((V @ {a}.T).T) + {b}",
    "{a}[:, ::-1] @ V",
    "{a} @ np.tanh({a}.T @ {b})",
    "np.tanh({a} @ {b}.T) @ {b}",
    "({a} @ W)[:, 1:] @ V[1:] + {b}",
    "(({a} @ W) * ({b} @ W.T)).T.reshape({a}.shape)",
    "({a}[:, None, :] @ W)[:, 0] * {b}",
    "np.concatenate([{a}.T, {b}.T], axis=0).T @ U",
    "np.einsum('bi,ij,bj->bi', {a}, W, {b})",
    "np.sum({a}[:, :, None] * W, axis=1)",
    "np.sum({a}[:, None, :] * {b}[:, :, None], axis=1)",
    "np.sum(({a} @ W).T, axis=-1) * {b}",
    "np.mean({a}.T, axis=0)[:, None] * {b}",
    "np.stack([{a} @ W, {b} @ V], axis=-1)[..., 0] + {a}[:1] @ W",
    "{a} @ tied + {b}",
    "np.concatenate([{a}, {b}], axis=-1) @ U",
    "np.concatenate([{a}, {b}], axis=1)[:, 1 : N + 1]",
    "tg.softmax({a} @ W)",
    "tg.log_softmax({a}) * dtype(0.1)",
    "norm({a})",
    "layer({a})",
    "half({a}) * {b}",
    "{a} * settings.mask",
    "{a} * plain[0] + plain[1] * {b}",
    "{a} * (plain / 2) + (1 - settings.mask)",
    "{a} * factor",
    "np.sum({a}, axis=0) * {b}",
    "np.sum({a} * {b}, axis=1, keepdims=True) * row",
    "{a}.reshape(-1).reshape({b}.shape)",
    "{a}.T.reshape({b}.shape) * {b}",
    "np.stack([{a}, {b}]).mean(axis=0)",
    "np.moveaxis(np.stack([{a}, {b}], axis=1), 1, 0)[1]",
    "{a}[:, [2, 0, 1]] + {b}",
    "{a}[:, ::-1] * {b}",
    "np.roll({a}, 1, axis=1)",
    "np.cumsum({a}, axis=1) * dtype(0.5)",
    "{a} / (1 + np.square({b}))",
    "np.exp(-np.square({a}))",
    "np.broadcast_to({a}[:, :1], {b}.shape) * {b}",
    "np.linalg.norm({a} + 2, axis=1, keepdims=True) * {b}",
    "{a} * np.var({b} + 1, axis=-1, keepdims=True)",
    "np.pad({a}[:, 1:], ((0, 0), (1, 0))) + {b}",
    "np.prod({a}, axis=1, keepdims=True) + {b}",
]
"""Two values of shape (batch, features) make another one."""

OTHERS = [
    "np.where({a} > 0, {a}, dtype(0.1) * {b})",
    "np.maximum({a}, {b})",
    "tg.relu({a}) + {b}",
    "np.max({a}, axis=1, keepdims=True) * {b}",
    "np.max({a}.T, axis=0)[:, None] * {b}",
    "np.sort({a}, axis=-1)",
    "np.clip({a}, -0.5, 0.5)",
    "tg.detach({a}) * {b}",
    "tg.scale_gradient({a}, 0.5) + {b}",
    "np.abs({a}) * {b}",
    "tg.one_hot(np.argmax({a}, axis=-1), N, dtype) * {b}",
]
"""The same, where the derivative has jumps, or is another one than that of the values."""

OF_LABELS = [
    "table[y] + {a}",
    "plain_table[y] * {a}",
    "np.take(plain_table, y, axis=0) + {a}",
    "np.eye(CLASSES, dtype=dtype)[y] @ table * {a}",
    "tg.one_hot(y, CLASSES, dtype) @ table + {a}",
    "np.where((y > 1)[:, None], {a}, {b})",
    "np.where(keep[:, None], {a}, {b})",
    "{a} * keep[:, None]",
]
OF_MEMORY = ["attention({a}, m)", "m[:, 0] * {a}", "np.sum(m, axis=1) + {a}"]
OF_NUMBER = ["s * {a} + {b}", "{a} / (1 + s * s)"]

STATES = {
    "h": ("h", "h", []),
    "(h, c)": ("h, c", "(h, c)", ["c"]),
    "{'c': c, 'h': h}": ("dict", "{'h': h, 'c': c}", ["c"]),
    "[h, (m, s)]": ("h, (m, s)", "[h, (m, s)]", ["m", "s"]),
    "(h, {'m': m, 'n': [c]})": ("nested", "(h, {'m': m, 'n': [c]})", ["c", "m"]),
    "(h, s)": ("h, s", "(h, s)", ["s"]),
}
"""How a state is nested: how the cell takes it apart, what it returns, what is in it besides h."""

TAKEN_APART = {
    "h": "h = state",
    "h, c": "h, c = state",
    "dict": "h, c = state['h'], state['c']",
    "h, (m, s)": "h, (m, s) = state",
    "nested": "h, m, c = state[0], state[1]['m'], state[1]['n'][0]",
    "h, s": "h, s = state",
}
SHAPES = {"h": "B, N", "c": "B, N", "m": "B, K, N", "s": ""}

LAYOUTS = {
    "as it is": "{}",
    "Fortran order": "np.asfortranarray({})",
    "negative strides": "{}[::-1].copy()[::-1]",
    "every other": "np.repeat({}, 2, axis=-1)[..., ::2]",
    "read-only": "read_only({})",
}

TRUNCATIONS = [
    "tg.Full()", "tg.Subsequence(2)", "tg.Window(0)", "tg.Window(1)", "tg.Window(9)",
    "tg.TBPTT(2, 3)", "tg.Randomized.from_links((np.arange(max(T - 1, 0)) % 3) / 2)",
]  # fmt: skip


RESETS = ["None", "None", "rng.random((T, B)) < 0.4", "rng.random(T) < 0.4"]


class Example(NamedTuple):
    """A random cell. source: the module. smooth: whether central differences say its gradient."""

    source: str
    smooth: bool


@st.composite
def examples(draw: Any) -> Example:
    B, T = draw(st.sampled_from([2, 1, 3, 0])), draw(st.integers(0, 4))
    dtype = draw(st.sampled_from(["float64", "float64", "float64", "float32"]))
    nesting = draw(st.sampled_from(list(STATES)))
    apart, returned, parts = STATES[nesting]
    labels = draw(st.booleans())
    choices = [*SMOOTH, *OTHERS, *(OF_LABELS if labels else [])]
    choices += (OF_MEMORY if "m" in parts else []) + (OF_NUMBER if "s" in parts else [])
    lines = draw(
        st.lists(st.tuples(st.sampled_from(choices), *[st.integers(0, 99)] * 2), max_size=8)
    )
    values = ["h", "x", *(["c"] if "c" in parts else [])]
    body = [TAKEN_APART[apart]]
    if labels:
        body.append("x, y, keep = x['x'], x['y'], x['keep']")
    smooth = True
    for n, (template, i, j) in enumerate(lines):
        a, b = values[-1 - i % len(values)], values[-1 - j % len(values)]
        body.append(f"v{n} = {template.format(a=a, b=b)}")
        values.append(f"v{n}")
        smooth = smooth and template not in OTHERS
    new = {"h": f"np.tanh({values[-1]} + x)"}
    if "c" in parts:
        new["c"] = f"np.sin({values[draw(st.integers(0, 99)) % len(values)]})"
    if "m" in parts:
        new["m"] = f"np.concatenate([m[:, 1:], {values[-1]}[:, None, :] * dtype(0.5)], axis=1)"
    if "s" in parts:
        new["s"] = f"np.tanh(s * dtype(0.5) + np.sum({values[-1]}))"
    names = ["h", *parts]
    body.append(f"{', '.join(names)} = {', '.join(new[name] for name in names)}")
    source = HEADER.format(seed=draw(st.integers(0, 9)), dtype=dtype, B=B, T=T)
    source += "\ndef read_only(a):\n    a.flags.writeable = False\n    return a\n"
    source += "\ndef cell(x, state):\n    " + "\n    ".join([*body, f"return {returned}"]) + "\n"
    layout = LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))]
    xs = layout.format("array(T, B, N)")
    needing = draw(st.booleans())
    xs = f"tg.Tensor({xs}, requires_grad=True)" if needing else xs
    if labels:
        y, keep = "rng.integers(0, CLASSES, (T, B))", "rng.random((T, B)) < 0.6"
        xs = f"{{'x': {xs}, 'y': {y}, 'keep': {keep}}}"
    source += f"\nxs = {xs}\n"
    layout = LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))]
    for name in names:
        made = layout if name != "s" else "{}"
        array = made.format(f"array({SHAPES[name]})") if name != "s" else "dtype(0.3)"
        source += f"{name} = tg.Tensor({array}, requires_grad={draw(st.booleans())})\n"
    source += f"state = {nesting}\n"
    source += f"truncation = {draw(st.sampled_from(TRUNCATIONS))}\n"
    reset = draw(
        st.sampled_from(["None", "None", "rng.random((T, B)) < 0.4", "rng.random(T) < 0.4"])
    )
    source += f"reset = {reset}\n"
    source += "parameters = [W, V, U, row, factor, table]\n"
    return Example(source, smooth)
