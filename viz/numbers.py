"""Numbers in the boxes: the shape of every named value, and its numbers where there are few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tinygrad_rnn.engine.graph import Array, Node
from viz.diagram import Diagram
from viz.labels import SMALL, Run

FEW = 3  # the most numbers that are shown one by one
NOT_KEPT = "not kept"


def add_numbers(diagram: Diagram, values: Mapping[Node, Array]) -> None:
    """Add a line with the shape under each name, and a line with the numbers.

    values: the values that the tape keeps, which are those that derivatives need. Other values are
        marked "not kept". For more than three numbers the norm is shown.
    """
    for i, shape in enumerate(diagram.shapes):
        if shape.kind not in ("box", "parameters"):
            continue
        references = shape.nodes if shape.kind == "parameters" else shape.nodes[-1:]
        nodes = [node for reference in references if (node := reference()) is not None]
        lines = [shape.note] if shape.note != "scalar" and shape.title != "" else []
        if nodes:
            lines.append(_together([number_text(values.get(node)) for node in nodes]))
        small = tuple((Run(line, level=SMALL),) for line in lines)
        diagram.shapes[i] = replace(shape, label=(*shape.label, *small))


def _together(texts: Sequence[str]) -> str:
    """The texts of several parameters, with the sign of a norm written once."""
    norm = "‖·‖ = "
    if all(text.startswith(norm) for text in texts):
        return norm + ", ".join(text.removeprefix(norm) for text in texts)
    return "; ".join(texts)


def number_text(array: Array | None) -> str:
    """The numbers of a small array, the norm of a larger one.

    >>> import numpy as np
    >>> from viz.numbers import number_text
    >>> number_text(np.array([0.5, -1.0])), number_text(np.ones((2, 2))), number_text(None)
    ('0.5, −1', '‖·‖ = 2', 'not kept')
    """
    if array is None:
        return NOT_KEPT
    array = np.asarray(array)
    if array.size <= FEW:
        return ", ".join(f"{x:.3g}" for x in array.ravel().tolist()).replace("-", "−")
    return f"‖·‖ = {float(np.linalg.norm(array)):.3g}"
