"""The source as a page: three parts for each direction, each with its comment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_rnn.scan.write import literal

if TYPE_CHECKING:
    from tinygrad_rnn.scan.emit import Direction, Emitter

LONG = 20_000
"""Above so many steps the views of each step are not kept, for each takes 100 bytes and more."""


def page(emitter: Emitter, title: str) -> str:
    """The whole module: imports, and one function that makes buffers and returns two."""
    trace = emitter.trace
    states, inputs = emitter.state_names, emitter.input_names
    starts = [emitter.fresh(f"{name}_0") for name in states]
    given = ", ".join(inputs + emitter.parameter_names)
    forward, backward = emitter.forward, emitter.backward
    lines = ["import numpy as np", "", ""]
    everything = "\n".join(
        [*emitter.factory, *forward.before, *forward.after, *backward.before, *backward.after]
    )
    if "rows(" in everything:
        lines += [
            "def rows(a):",
            '    """The rows of all steps under one another."""',
            "    return a.reshape(-1, a.shape[-1])",
            "",
            "",
        ]
    if emitter.of_numbers:
        lines += [
            "def numbers(a):",
            '    """Each number of an array as an array to write to."""',
            "    return [a[t, ...] for t in range(len(a))]",
            "",
            "",
        ]
    lines += [
        "def program(T):",
        f'    """{title}"""',
        "    # Buffers, made once.",
        *indented(emitter.factory),
    ]
    lines += walks(forward, emitter.of_numbers, "forward", backwards=False)
    lines += walks(backward, emitter.of_numbers, "backward", backwards=True)
    names = ", ".join(starts)
    lines += ["", f"    def forward({', '.join([*starts, given])}):"]
    body = [*forward.constants]
    if forward.before:
        body += [
            "# Before the loop: what depends on no state, for all steps at once.",
            *forward.before,
        ]
    body += [f"{name}[0] = {start}" for name, start in zip(states, starts, strict=True)]
    body += ["# The loop: what depends on the state of the step before."]
    body += loop(forward, "forward", backwards=False)
    body += [f"return {', '.join(f'{name}[1:]' for name in states)},"]
    lines += indented(body, 2)
    seeds = ", ".join(emitter.seed_names)
    windows = "windows, lanes, " if emitter.windows else ""
    lines += ["", f"    def backward({windows}{seeds}, {given}):"]
    body = [*backward.constants]
    if backward.before:
        body += ["# Before the loop: what depends on no gradient, for all steps at once."]
        body += backward.before
    if emitter.windows:
        shapes = [f"np.empty({literal(v.shape)}, {literal(v.dtype)})" for v in trace.states]
        body += [f"links = [({', '.join(shapes)},) for _ in range(lanes)]"]
        body += [
            f"{emitter.stack[v]}[...] = 0"
            for v in emitter.stored
            if v not in emitter.ahead and "g" in emitter.depends[v]
        ]
    else:
        body += [
            f"{link}[...] = 0"
            for link, gradient in zip(emitter.links, trace.state_gradients, strict=True)
            if gradient is not None
        ]
    body += [
        f"{name} = np.zeros({literal(v.shape)}, {literal(v.dtype)})"
        for name, v in emitter.accumulated
    ]
    if emitter.windows:
        body += ["# The loop: the gradient of each state, one lane for every loss that looks back."]
        backward.loop = [
            "for lane, start, seeded, cut in alive:",
            *indented(
                [
                    f"{', '.join(emitter.links)}, = links[lane]",
                    "if start:",
                    *(f"    {link}[...] = 0" for link in emitter.links),
                    *backward.loop,
                    "if cut is not None:",
                    *(
                        f"    np.multiply({link}, cut.reshape(-1, {', '.join('1' for _ in v.shape[1:])}), {link})"
                        for link, v in zip(emitter.links, trace.states, strict=True)
                    ),
                ]
            ),
        ]
        backward.given["windows"] = "alive"
    else:
        body += ["# The loop: the gradient of each state, along the link from the step after it."]
    body += loop(backward, "backward", backwards=True)
    if backward.after:
        body += [
            "# After the loop: gradients of parameters and inputs, one product over all steps."
        ]
        body += backward.after
    body += [f"return {', '.join(emitter.returned)},"]
    lines += indented(body, 2)
    lines += ["", "    return forward, backward", ""]
    del names
    return "\n".join(lines).replace("ones(len(", "np.ones(len(").replace("np.np.", "np.")


def indented(lines: list[str], depth: int = 1) -> list[str]:
    return ["    " * depth + line for line in lines]


def walks(at: Direction, of_numbers: set[str], which: str, backwards: bool) -> list[str]:
    """The views of each step, made once."""
    if not at.owned:
        return []
    turn = "[::-1]" if backwards else ""
    arrays = [f"numbers({name}{turn})" if name in of_numbers else name + turn for name in at.owned]
    source = arrays[0] if len(arrays) == 1 else f"zip({', '.join(arrays)})"
    return [f"    {which}_steps = list({source})  # views of each step"]


def loop(at: Direction, which: str, backwards: bool) -> list[str]:
    turn = "[::-1]" if backwards else ""
    owned = list(at.owned.values())
    given = list(at.given.values())
    sources = [name if name == "windows" else f"{name}{turn}" for name in at.given]
    if not owned and not given:
        return []
    if owned:
        inner = (
            owned[0] if len(owned) == 1 else f"({', '.join(owned)})" if given else ", ".join(owned)
        )
        target = ", ".join([inner, *given])
        source = f"zip({', '.join([f'{which}_steps', *sources])})" if given else f"{which}_steps"
    else:
        target = ", ".join(given)
        source = sources[0] if len(sources) == 1 else f"zip({', '.join(sources)})"
    return [f"for {target} in {source}:", *indented(at.loop or ["pass"])]
