"""The source as a page: buffers, then two functions of three parts, each with its comment."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_rnn.compiler.emitter.losses import cross_entropies, cross_entropy_gradient, places_of
from tinygrad_rnn.compiler.emitter.write import literal
from tinygrad_rnn.compiler.frontend.tracer import Value

if TYPE_CHECKING:
    from tinygrad_rnn.compiler.emitter.emit import Emitter
    from tinygrad_rnn.compiler.emitter.places import Direction

ROWS = '''
def rows(a):
    """The rows of all steps under one another."""
    return a.reshape(-1, a.shape[-1])
'''

NUMBERS = '''
def numbers(a):
    """Each number of an array as an array to write to."""
    return [a[t, ...] for t in range(len(a))]
'''

PRODUCTS = '''
def products(a):
    """The product of each step's array with a matrix, as a function."""
    return [a_t.dot for a_t in a]
'''

ADDED_AT = '''
def added_at(total, index, values):
    """An array with values added up at the index, repeated places too."""
    total = total.copy()
    np.add.at(total, index, values)
    return total
'''


def source(function: Callable[..., Any]) -> str:
    """A function as a page has it, where nothing is known of types."""
    return re.sub(r"(: | -> )Any", "", inspect.getsource(function))


# Each before those that need it.
HELPERS = {
    "rows": ROWS,
    "numbers": NUMBERS,
    "products": PRODUCTS,
    "added_at": ADDED_AT,
    **{f.__name__: source(f) for f in (places_of, cross_entropies, cross_entropy_gradient)},
}


def page(emitter: Emitter, title: str) -> str:
    """The whole module: `program(T)` makes the buffers for T steps and returns two functions."""
    forward, backward = forward_lines(emitter), backward_lines(emitter)
    buffers = [
        "# Buffers and the views of each step, made once.",
        *emitter.factory,
        *walk(emitter.forward, emitter.of_numbers, "forward"),
        *walk(emitter.backward, emitter.of_numbers, "backward", "[::-1]"),
    ]
    states = "".join(f", {name}=None" for name in emitter.state_arrays)
    body = [f'"""{title}"""', *buffers, "", *forward, "", *backward, "", "return forward, backward"]
    text = "\n".join([f"def program(T{states}, empty=np.empty):", *indented(body)]) + "\n"
    for name, helper in reversed(HELPERS.items()):
        if f"{name}(" in text:
            text = f"{helper.strip()}\n\n\n{text}"
    return f"import numpy as np\n\n\n{text}"


def forward_lines(emitter: Emitter) -> list[str]:
    names, at = emitter.state_names, emitter.forward
    steps = loop(at, "forward")
    starts = [emitter.fresh(f"{name}_0") for name in names]
    given = [*starts, *emitter.input_names, *emitter.parameter_names]
    return [
        f"def forward({', '.join(given)}):",
        *indented(
            [
                *at.constants,
                *part("Before the loop: what depends on no state, for all steps.", at.before),
                *(f"{name}[0] = {start}" for name, start in zip(names, starts, strict=True)),
                *part(f"The loop: {sets(names, 't')} from {sets(names, 't−1')}.", steps),
                *part("After the loop: what no step reads, for all steps.", at.after),
                f"return {', '.join(f'{name}[1:]' for name in names)},",
            ]
        ),
    ]


def backward_lines(emitter: Emitter) -> list[str]:
    at = emitter.backward
    windows = ["windows", "lanes"] if emitter.windows else []
    ends = [f"{link}_end" for link in emitter.links]
    given = [
        *windows,
        *([] if emitter.windows else ends),
        *emitter.seeds,
        *emitter.input_names,
        *emitter.parameter_names,
        *([] if emitter.windows else ['entering="state"']),
    ]
    if emitter.windows:
        what = "The loop: the gradient of each state, one lane for every loss that looks back."
        at.given["windows"] = "alive"
        at.loop = lanes(emitter)
    else:
        names = emitter.state_names
        h, meaning = (names[0], "") if len(names) == 1 else ("s", f", s being ({', '.join(names)})")
        what = (
            f"The loop{meaning}: ∂L/∂{h}_{{t−1}} = (∂{h}_t/∂{h}_{{t−1}})ᵀ ∂L/∂{h}_t, "
            f"and what the loss at t−1 adds."
        )
    return [
        f"def backward({', '.join(given)}):",
        *indented(
            [
                *at.constants,
                *part("Before the loop: what depends on no gradient, for all steps.", at.before),
                *emitter.copies,
                *zeros(emitter),
                *part(what, loop(at, "backward", "[::-1]")),
                *part("After the loop: ∂L/∂W = Σ_t ∂L/∂W_t, as products over all steps.", at.after),
                f"return {', '.join(emitter.returned)},",
            ]
        ),
    ]


def zeros(emitter: Emitter) -> list[str]:
    """What begins at zero: the links, and all that is added up in the loop."""
    lines = [
        f"{name} = np.zeros({literal(value.shape)}, {literal(value.dtype)})"
        for name, value in emitter.accumulated
    ]
    if not emitter.windows:
        lines += emitter.ends
        return lines + [f"{link}[...] = {link}_end" for link in linked(emitter)]
    made = "".join(f"{empty(state)}, " for state in emitter.trace.states)
    summed = [v for v in emitter.stored if v not in emitter.ahead and "g" in emitter.depends[v]]
    return [
        *lines,
        f"links = [({made}) for _ in range(lanes)]",
        *(f"{emitter.stack[value]}[...] = 0" for value in summed),
    ]


def lanes(emitter: Emitter) -> list[str]:
    """The loop over the losses that are alive at a step, around the lines of one."""
    pairs = zip(emitter.links, emitter.trace.states, strict=True)
    links = {link: state for link, state in pairs if link in linked(emitter)}
    shapes = {link: ", ".join(["-1", *"1" * (len(v.shape) - 1)]) for link, v in links.items()}
    return [
        "for lane, start, seeded, cut in alive:",
        *indented(
            [
                f"{', '.join(emitter.links)}, = links[lane]",
                "if start:",
                *indented([f"{link}[...] = 0" for link in links] or ["pass"]),
                *emitter.backward.loop,
                "if cut is not None:",
                *indented(
                    [
                        f"np.multiply({link}, cut.reshape({shapes[link]}), {link})"
                        for link, state in links.items()
                        if state.ndim
                    ]
                    or ["pass"]
                ),
            ]
        ),
    ]


def linked(emitter: Emitter) -> list[str]:
    """The links along which a gradient comes."""
    pairs = zip(emitter.links, emitter.trace.state_gradients, strict=True)
    return [link for link, gradient in pairs if gradient is not None]


def sets(names: list[str], index: str) -> str:
    """h_t, or h_t, c_t."""
    index = index if len(index) == 1 else f"{{{index}}}"
    return ", ".join(f"{name}_{index}" for name in names)


def empty(value: Value) -> str:
    return f"np.empty({literal(value.shape)}, {literal(value.dtype)})"


def part(comment: str, lines: list[str]) -> list[str]:
    return [f"# {comment}", *lines] if lines else []


def indented(lines: list[str]) -> list[str]:
    return [f"    {line}" if line else line for line in lines]


def walk(at: Direction, of_numbers: set[str], which: str, turn: str = "") -> list[str]:
    """The views of each step of the program's own arrays."""
    helpers = dict.fromkeys(of_numbers, "numbers") | dict.fromkeys(at.products, "products")
    arrays = [
        f"{helpers[name]}({name}{turn})" if name in helpers else name + turn for name in at.owned
    ]
    if not arrays:
        return []
    source = arrays[0] if len(arrays) == 1 else f"zip({', '.join(arrays)})"
    return [f"{which}_steps = list({source})"]


def loop(at: Direction, which: str, turn: str = "") -> list[str]:
    """The loop over the steps, its own arrays and the caller's side by side."""
    owned, given = list(at.owned.values()), list(at.given.values())
    sources = [name if name == "windows" else f"{name}{turn}" for name in at.given]
    if owned:
        sources.insert(0, f"{which}_steps")
        given.insert(0, f"({', '.join(owned)})" if given and len(owned) > 1 else ", ".join(owned))
    if not sources:
        return []
    source = sources[0] if len(sources) == 1 else f"zip({', '.join(sources)})"
    called = dict.fromkeys(
        name for line in at.loop for name in re.findall(r"\bnp\.(\w+)\(", line) if is_ufunc(name)
    )
    body = [re.sub(r"\bnp\.(\w+)\(", _short, line) for line in at.loop] or ["pass"]
    names = f"{', '.join(called)} = {', '.join(f'np.{name}' for name in called)}"
    return [
        *([names] if called else []),
        f"for {', '.join(given)} in {source}:",
        *indented(body),
    ]


def is_ufunc(name: str) -> bool:
    return isinstance(getattr(np, name, None), np.ufunc)


def _short(match: re.Match[str]) -> str:
    """A function of the loop by a local name: found without looking into the module."""
    return f"{match[1]}(" if is_ufunc(match[1]) else match[0]
