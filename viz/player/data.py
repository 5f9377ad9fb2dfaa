"""The data of the page as JSON: the figure, the numbers and the formulas (see `page/data.js`).

No number depends on a strategy. The page itself weights the gradients of the losses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain, count
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.engine.graph import Array, Node
from viz import labels
from viz.backward.flows import flow_of, nodes_of, uses_of
from viz.backward.recording import Cell, Recording, record
from viz.labels import Name, typeset
from viz.layout import BOX, CIRCLE
from viz.letters import writable
from viz.player.formulas import MOST, formulas
from viz.player.packing import Pack
from viz.player.stage import Stage, runs, stage
from viz.snapshot import Value, snapshot
from viz.values import values_of

USUAL = {"box": BOX, "circle": CIRCLE, "parameters": BOX, "dots": BOX}  # the usual sizes of shapes
SHOWN = 6, 8  # the rows and columns of an array that are shown
WHOLE = 48  # an array of up to this many numbers is in the file as a whole
ROOM = 100_000  # the most numbers for the gradients of values, all losses together


def page_data(outputs: Sequence[tg.Tensor], detail: str = "named") -> dict[str, Any]:
    """The data of a page, ready for `json`; detail as for `draw`."""
    return _Writer(outputs, detail).data()


def as_json(data: dict[str, Any]) -> str:
    """Compact, and safe inside of a script element."""
    text = writable(json.dumps(data, ensure_ascii=False, separators=(",", ":")))
    return text.replace("</", "<\\/").replace("<!--", "<\\u0021--")


class _Writer:
    def __init__(self, outputs: Sequence[tg.Tensor], detail: str) -> None:
        self.outputs = outputs
        self.recording: Recording = record(outputs)
        self.values = values_of(self.recording.tape, outputs)
        self.stage: Stage = stage(outputs, detail, self.values)
        self.pack = Pack()
        self.names: dict[str, int] = {}
        self.operations: dict[str, int] = {}
        self.shape_of: dict[Node, int] = {}
        self.facts: dict[Node, Value] = {
            node: value for value in snapshot(outputs) if (node := value.node()) is not None
        }
        shapes = self.stage.diagram.shapes
        self.nodes = nodes_of(self.stage.diagram)
        for i, shape in enumerate(shapes):
            if shape.kind == "circle":
                self.shape_of.setdefault(self.nodes[i][-1], i)
        for i, shape in enumerate(shapes):
            if shape.kind != "circle":
                self.shape_of |= dict.fromkeys(self.nodes[i], i)
        self.letters = _Letters(self.facts.values())
        self.shown = self._how_much()

    def data(self) -> dict[str, Any]:
        recording = self.recording
        shapes = [self._shape(i) for i in range(len(self.nodes))]
        links = [self._link(i) for i in range(len(self.stage.ways))]
        circles, templates = self._formulas()
        tied = [self._tied(node) for node in recording.tied]
        order = sorted(circles, key=lambda i: self.nodes[i][-1].position)
        return {
            "T": recording.rows.count,
            "steps": recording.rows.numbers,
            "size": [self.stage.width, self.stage.height],
            "sources": [
                {"row": s.loss} if s.links is None else {"label": s.label, "links": s.links}
                for s in recording.sources
            ],
            "why": recording.no_chain,
            "names": [json.loads(name) for name in self.names],
            "operations": list(self.operations),
            "paths": self.stage.paths,
            "shapes": shapes,
            "links": links,
            "formulas": templates,
            "circles": [circles[i] for i in order],
            "order": order,
            "tied": tied,
            "pack": self.pack.text(),
        }

    # The figure -----------------------------------------------------------------------------------

    def _shape(self, i: int) -> list[Any]:
        """[kind, x, y, size, row, name, shape, value, gradient, operations, label]; 0 is none.

        kind: its first letter. size: 0 for the usual size. row: −1 below the rows; the first and
            the last row if there are several. name: for parameters, all names. operations, label:
            for a circle, which has no name where its result has a box. See `_array` and
            `_gradients` for the numbers.
        """
        shape, nodes = self.stage.diagram.shapes[i], self.nodes[i]
        x, y, width, height = self.stage.places[i]
        size = 0 if width == height == USUAL[shape.kind] else [width, height]
        first, last = shape.rows or (-1, -1)
        made = [shape.kind[0], x, y, size, first if first == last else [first, last]]
        if shape.kind == "parameters":
            return [*made, [self._name(node) for node in nodes]]
        node = nodes[-1]
        operations: list[Any] = []
        if shape.kind == "circle":
            operations.append(self._operations(nodes))
            if shape.label:
                operations.append(labels.plain(shape.label))
        if operations and self.shape_of[node] != i:
            return [*made, -1, 0, 0, 0, *operations]
        made += [self._name(node), list(node.shape), self._array(self.values.get(node))]
        has_gradient = node in self.recording.gradients
        return [*made, self._gradients(node) if has_gradient else 0, *operations]

    def _operations(self, nodes: Sequence[Node]) -> int:
        """The place of the names of a circle's operations among all such lists."""
        text = ", ".join(_function(node) for node in nodes[:12]) + ", …" * (len(nodes) > 12)
        return self.operations.setdefault(text, len(self.operations))

    def _link(self, i: int) -> list[Any]:
        """[from, to, path, x, y], and where a gradient flows [first source, how many, place of the
        norms, row that it reaches, row that it comes from, and the step if it can be cut]."""
        link, rows = self.stage.diagram.links[i], self.recording.rows
        made = [link.source, link.target, *self.stage.ways[i]]
        flow, uses = flow_of(link, self.nodes, self.recording), uses_of(link)
        if not flow:
            return made
        made += self._series(flow)
        if not uses:
            row = rows.of(self.nodes[link.target][0])
            return [*made, row, row]
        user, parent = uses[0]
        up = rows.of(user)
        row = up if rows.of(parent) is None else rows.of(parent)
        # Other gradients along this line, such as those of a kept state, pass when the link is cut.
        steps = {t for use in uses if (t := rows.link(*use)) is not None}
        step = steps.pop() if len(steps) == 1 else None
        return [*made, row, up] if step is None else [*made, row, up, step]

    def _series(self, flow: dict[int, float]) -> list[int]:
        """A series of numbers by source: the first source, the number of sources, and the block's
        place."""
        first, last = min(flow), max(flow)
        return [
            first,
            last - first + 1,
            self.pack.add([flow.get(n, 0.0) for n in range(first, last + 1)]),
        ]

    # Numbers --------------------------------------------------------------------------------------

    def _how_much(self) -> int:
        """The number of entries of each gradient that fit: small gradients as a whole, else a
        corner."""
        for most in (WHOLE, 16, 8):
            wanted = sum(
                min(_size(node), most)
                for node, by_source in self.recording.gradients.items()
                for _ in by_source
                if node in self.shape_of
            )
            if wanted <= ROOM:
                return most
        return 4

    def _corner(self, array: Array, most: int) -> Array:
        """The shown part of an array: all of it, or its first rows and columns."""
        if array.size <= most:
            return array
        flat = array.reshape(-1, array.shape[-1] if array.ndim else 1)
        columns = min(SHOWN[1], flat.shape[1], most)
        return flat[: max(1, min(SHOWN[0], most // columns)), :columns]

    def _array(self, array: Array | None) -> Any:
        """An array as [place, rows, columns, norm]; 0 where it is not known."""
        if array is None:
            return 0
        numbers = np.asarray(array, np.float64)
        corner = self._corner(numbers, WHOLE)
        rows, columns = _as_table(corner)
        return [self.pack.add(corner), rows, columns, float(f"{np.linalg.norm(numbers):.3g}")]

    def _gradients(self, node: Node) -> Any:
        """[first source, how many, rows, columns, place of the first block, row]: one block for
        each source; the row is that of M."""
        by_source = self.recording.gradients[node]
        first, last = min(by_source), max(by_source)
        zero = np.zeros(node.shape)
        corners = [self._corner(by_source.get(n, zero), self.shown) for n in range(first, last + 1)]
        places = [self.pack.add(corner) for corner in corners]
        return [first, len(places), *_as_table(corners[0]), places[0], self.recording.rows.of(node)]

    def _tied(self, node: Node) -> dict[str, Any]:
        """A parameter: its full gradient, and per source and row what its uses contribute.

        cells: [row, first source, how many]; `along` and `norms` begin a block for each of them,
        `uses` one for each source of each.
        """
        tied = self.recording.tied[node]
        by_row: dict[int, list[int]] = {}
        for source, row in sorted(tied.along):
            by_row.setdefault(row, []).append(source)
        cells = []
        order = []
        for row, sources in sorted(by_row.items()):
            span = range(min(sources), max(sources) + 1)
            cells.append([row, span.start, len(span)])
            order += [(source, row) for source in span]
        made: dict[str, Any] = {
            "n": self._name(node),
            "box": self.shape_of.get(node),
            "s": list(node.shape),
            "norm": float(f"{np.linalg.norm(tied.full):.7g}"),
            "cells": cells,
            "along": self._by_row(tied.along, cells),
            "norms": self._by_row(tied.norms, cells),
            "v": self._array(self.values.get(node)),
        }
        if tied.uses:
            made["uses"] = self._uses(tied.uses, order, node.shape)
        else:
            made["full"] = self._array(tied.full)
        return made

    def _uses(self, uses: dict[Cell, Array], order: list[Cell], shape: tuple[int, ...]) -> int:
        """Add a block for each use, and return the place of the first. The rounding error of one
        loss is carried to the next loss in the same row, so that sums are as exact as a single
        block."""
        begin, row_before = self.pack.length, None
        carry: Any = 0.0
        for source, row in order:
            carry = carry if row == row_before and self.recording.no_chain is None else 0.0
            wanted = uses.get((source, row), np.zeros(shape)) + carry
            self.pack.add(wanted)
            carry, row_before = wanted - self.pack.last, row
        return begin

    def _by_row(self, numbers: dict[Cell, float], cells: list[list[int]]) -> int:
        """Add one block for each row, and return the place of the first."""
        places = [
            self.pack.add(
                [numbers.get((source, row), 0.0) for source in range(first, first + count)]
            )
            for row, first, count in cells
        ]
        return places[0] if places else 0

    # Words ----------------------------------------------------------------------------------------

    def _name(self, node: Node) -> int:
        """The place of a value's typeset name among all names."""
        node = _seen(node, self.facts)
        value = self.facts.get(node)
        shapes, place = self.stage.diagram.shapes, self.shape_of.get(node)
        if node.name and value is not None:
            line = typeset(value, node.name)
        elif place is not None and shapes[place].kind != "circle":
            line = shapes[place].label[0]
        else:
            assert value is not None
            line = typeset(value, self.letters.name(node, self._role(node), self._step(node)))
        text = json.dumps(runs(line), ensure_ascii=False)
        return self.names.setdefault(text, len(self.names))

    def _role(self, node: Node) -> str:
        place = self.shape_of.get(node)
        return "" if place is None else self.stage.diagram.shapes[place].role

    def _step(self, node: Node) -> int | None:
        row = self.recording.rows.of(node)
        return None if row is None or self.recording.rows.count == 1 else row + 1

    def _formulas(self) -> tuple[dict[int, list[Any]], list[Any]]:
        """For each circle [template, names]. A template is [forward lines, backward lines,
        more]."""
        templates: dict[str, int] = {}
        circles: dict[int, list[Any]] = {}
        results = {output.node for output in self.outputs}
        for i, shape in enumerate(self.stage.diagram.shapes):
            if shape.kind != "circle":
                continue
            members = self.nodes[i]
            found = formulas(
                members, self.values, self.letters.taken, output=members[-1] in results
            )
            more = max(0, len(found.backward) - MOST)
            backward = found.backward[: MOST if not more else 3]
            template = [found.forward, backward, len(found.backward) - len(backward)]
            text = json.dumps(template, ensure_ascii=False)
            used = {int(n) for n in _references(text)}
            names = [self._name(n) if k in used else 0 for k, n in enumerate(found.terms)]
            circles[i] = [templates.setdefault(text, len(templates)), names[: max(used) + 1]]
        return circles, [json.loads(text) for text in templates]


class _Letters:
    """Names for drawn values that have none, such as an LSTM's gates."""

    def __init__(self, values: Any) -> None:
        stems = {Name.parse(value.name).stem for value in values if value.name}
        self.taken = "".join(stem for stem in stems if len(stem) == 1)
        letters = [c for c in "abdefgkmnpqrsuvwz" if c not in self.taken]
        self._free = chain(letters, (f"v_{n}" for n in count(1)))
        self._known: dict[str, str] = {}

    def name(self, node: Node, role: str, step: int | None) -> str:
        if role not in self._known:
            letter = next(self._free)
            self._known[role] = letter
            self.taken += letter
        known = self._known[role]
        return known if step is None else f"{known}{',' if '_' in known else '_'}{step}"


def _seen(node: Node, facts: Mapping[Node, Value]) -> Node:
    """The drawn value for this value. A cut or scaled link is drawn as the value that it passes
    on."""
    while node not in facts:
        sources = [parent for ref in node.severed if (parent := ref()) is not None] or node.parents
        node = sources[0]
    return node


def _references(template: str) -> list[str]:
    return re.findall(r"§(\d+)", template)


def _function(node: Node) -> str:
    return str(getattr(node.function, "__name__", node.function)).lstrip("_")


def _size(node: Node) -> int:
    return int(np.prod(node.shape, dtype=np.int64))


def _as_table(array: Array) -> tuple[int, int]:
    """The number of rows and columns in which an array is shown."""
    columns = array.shape[-1] if array.ndim else 1
    return (array.size // columns if columns else 0), columns
