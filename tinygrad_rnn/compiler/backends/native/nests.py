"""Loop nests: the works of each step, their rows and columns, and their possible orders.

A `Nest` is a loop over the steps. At each step its works run one after the other. An instruction on
all steps at once is a nest, too: its steps do not depend on one another. Two nests are fused if
each step of one conflicts only with the same step of the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.compiler.ir import Buffer

STEPS = 4
"""The number of steps for which overlaps of places are checked. Further steps have the same
form."""


class Span(NamedTuple):
    """A number of entries that depends on the number of steps T: slope·T + fixed."""

    slope: int
    fixed: int

    def at(self, steps: int) -> int:
        return self.slope * steps + self.fixed

    def moved(self, slope: int, fixed: int) -> Span:
        return Span(self.slope + slope, self.fixed + fixed)


@dataclass(frozen=True, eq=False)
class Packed:
    """A product's own memory for a matrix in panels. size: its size in entries."""

    dtype: np.dtype[Any]
    size: int


class Place(NamedTuple):
    """The rows and columns of an array at each step.

    offset: the offset of the first entry at step 0. step: the number of entries from one step to
        the next. strides: from row to row and from column to column; 0 where one row or column
        serves all.
    """

    root: Buffer
    offset: Span
    step: int
    rows: int
    columns: int
    strides: tuple[int, int]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.root.dtype

    def backwards(self, count: Span) -> Place:
        """The same for a loop from the last step to the first."""
        offset = self.offset.moved(self.step * count.slope, self.step * (count.fixed - 1))
        return self._replace(offset=offset, step=-self.step)


@dataclass(frozen=True, eq=False)
class Work:
    """One call on rows and columns: outs ← kind(args).

    kind: the name of a ufunc, or "copy", "where", "product", "time_sum", "sum", "mean", "max",
        "cross_entropies", "cross_entropy_gradient".
    args: places and numbers. A product has the left factor, the matrix, and the addend, if there is
        one. A sum over the steps has the rows of both factors.
    text: the call in NumPy.
    """

    kind: str
    args: tuple[Place | float, ...]
    outs: tuple[Place, ...]
    text: str

    @property
    def rows(self) -> int:
        return self.outs[0].rows

    @property
    def columns(self) -> int:
        return self.outs[0].columns

    @property
    def elementwise(self) -> bool:
        return self.kind not in (
            *("product", "time_sum", "sum", "mean", "max"),
            *("cross_entropies", "cross_entropy_gradient"),
        )

    @property
    def matrix(self) -> Place | None:
        """The matrix of a product."""
        matrix = self.args[1] if self.kind == "product" else None
        assert not isinstance(matrix, float)
        return matrix

    def reads(self) -> list[Place]:
        return [a for a in self.args if isinstance(a, Place)]

    def places(self) -> Iterator[tuple[Place, bool]]:
        """All places, and whether each is written to."""
        yield from ((place, False) for place in self.reads())
        yield from ((place, True) for place in self.outs)


@dataclass(frozen=True)
class Nest:
    """A loop over a number of steps.

    free: whether the steps may run in any order.
    """

    count: Span
    works: tuple[Work, ...]
    free: bool

    @property
    def is_sum(self) -> bool:
        """Whether the works are sums over the steps."""
        return self.works[0].kind == "time_sum"

    @property
    def steps_are_rows(self) -> bool:
        """Whether each step is one row, and all steps can run as the rows of one step."""
        return self.free and all(work.rows == 1 for work in self.works)

    def backwards(self) -> Nest:
        """The same steps in reverse order."""
        return self.with_places(lambda place: place.backwards(self.count))

    def with_places(self, changed: Callable[[Place], Place]) -> Nest:
        """The same nest on other places."""

        def of(a: Place | float) -> Place | float:
            return changed(a) if isinstance(a, Place) else a

        works = tuple(
            replace(w, args=tuple(map(of, w.args)), outs=tuple(map(changed, w.outs)))
            for w in self.works
        )
        return replace(self, works=works)


@dataclass
class Memory:
    """Hypothetical addresses of the buffers for a few steps, to find overlaps."""

    arrays: dict[Buffer, Any] = field(default_factory=dict)
    known: dict[tuple[Any, ...], bool] = field(default_factory=dict)

    def seen(self, place: Place, count: int, rows: slice = slice(None)) -> Any:
        root = place.root
        array = self.arrays.get(root)
        if array is None:
            entries = 1 if root.time is None else STEPS + root.time
            size = int(np.prod(root.shape)) * entries
            array = self.arrays[root] = np.empty(max(1, size), np.int8)
        offset, step = place.offset.at(STEPS), place.step
        if step < 0:
            offset, step = offset + (count - 1) * step, -step
        down, across = place.strides
        view = np.ndarray(
            (count, place.rows, place.columns), np.int8, array, offset, (step, down, across)
        )
        return view[:, rows]

    def at_step(self, place: Place, step: int) -> Any:
        """The part of `seen` that belongs to one step."""
        return self.seen(place, STEPS)[step if place.step >= 0 else STEPS - 1 - step]

    def overlap(self, a: Place, b: Place, count: int = STEPS) -> bool:
        """Whether any step of one place overlaps any step of the other."""
        if a.root is not b.root:
            return False
        key = a, b, count
        if key not in self.known:
            self.known[key] = shares(self.seen(a, count), self.seen(b, count))
        return self.known[key]

    def conflict(self, a: Work, b: Work, count: int = STEPS) -> bool:
        """Whether the order of two works matters, whatever the steps."""
        return any(
            self.overlap(p, q, count)
            for (p, written), (q, also) in itertools.product(a.places(), b.places())
            if written or also
        )

    def aligned(self, a: Work, b: Work) -> bool:
        """Whether the works of one step touch nothing of any other step of the other."""
        return all(
            (p == q and p.step != 0) or not self.crosses(p, q)
            for (p, written), (q, also) in itertools.product(a.places(), b.places())
            if written or also
        )

    def crosses(self, p: Place, q: Place) -> bool:
        """Whether a step of one place overlaps another step of the other."""
        key = p, q
        if key not in self.known:
            pairs = itertools.permutations(range(STEPS), 2)
            self.known[key] = self.overlap(p, q) and any(
                shares(self.at_step(p, i), self.at_step(q, j)) for i, j in pairs
            )
        return self.known[key]

    def apart(self, a: Work, b: Work, rows: int) -> bool:
        """Whether the first rows of one do not overlap the later rows of the other."""
        first, later = slice(None, rows), slice(rows, None)
        return not any(
            p.root is q.root
            and (
                shares(self.seen(p, STEPS, first), self.seen(q, STEPS, later))
                or shares(self.seen(p, STEPS, later), self.seen(q, STEPS, first))
            )
            for (p, written), (q, also) in itertools.product(a.places(), b.places())
            if (written or also) and p.rows > 1 and q.rows > 1
        ) and not any(
            self.overlap(p, q)
            for (p, written), (q, also) in itertools.product(a.places(), b.places())
            if (written or also) and (p.rows == 1 or q.rows == 1)
        )


def shares(a: Any, b: Any) -> bool:
    """Whether two views overlap. True if this is too hard to decide."""
    if a.size == 0 or b.size == 0:
        return False
    try:
        return bool(np.shares_memory(a, b, max_work=100_000))  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def is_free(works: Iterable[Work], memory: Memory) -> bool:
    """Whether no step of these works reads or writes what another step writes."""
    works = list(works)
    return all(
        (p == q and (p.step != 0 or not written)) or not memory.overlap(p, q)
        for a, b in itertools.product(works, works)
        for (p, written), (q, also) in itertools.product(a.places(), b.places())
        if written or also
    )


def fused(first: Nest, second: Nest, memory: Memory) -> Nest | None:
    """The fusion of both nests; None if it would change a number.

    Sums over the steps are fused with one another, if they have the same right factor. Steps that
    can be the rows of one step are not fused with others.
    """
    works = (*first.works, *second.works)
    if first.is_sum or second.is_sum:
        alike = first.count == second.count and len({(w.kind, w.args[1:]) for w in works}) == 1
        apart = not any(memory.conflict(v, w) for v in first.works for w in second.works)
        return replace(first, works=works) if alike and apart else None
    if first.free != second.free and all(w.rows == 1 for w in works):
        return None
    if first.count == second.count == Span(0, 1):
        return Nest(first.count, (*first.works, *second.works), False)
    if first.count != second.count or not (first.free or second.free):
        return None
    for turned in (False, True):
        a = first.backwards() if turned and first.free else first
        b = second.backwards() if turned and not first.free else second
        if all(memory.aligned(v, w) for v, w in itertools.product(a.works, b.works)):
            return Nest(a.count, (*a.works, *b.works), a.free and b.free)
    return None


def ordered(works: tuple[Work, ...], memory: Memory) -> list[Work]:
    """The works of a step, reordered so that related works are adjacent. Works that are not
    elementwise keep their order. Each elementwise work is delayed until it is needed."""
    before: dict[Work, list[Work]] = {
        w: [v for v in works[:n] if memory.conflict(v, w)] for n, w in enumerate(works)
    }
    done: dict[Work, None] = {}

    def do(work: Work) -> None:
        waiting = [work]
        while waiting:
            missing = [v for v in before[waiting[-1]] if v not in done]
            if missing:
                waiting.append(missing[0])
            else:
                done[waiting.pop()] = None

    for work in works:
        if not work.elementwise:
            do(work)
    for work in works:
        do(work)
    return list(done)


def retargeted(works: list[Work], memory: Memory, read_elsewhere: Any) -> list[Work]:
    """Retarget results: one that is only copied to another place is written there directly."""
    works = list(works)
    for copy in [w for w in works if w.kind == "copy"]:
        (source,), (target,) = copy.args, copy.outs
        if not isinstance(source, Place):
            continue
        n = works.index(copy)
        makers = [w for w in works if any(memory.overlap(source, out) for out in w.outs)]
        readers = [w for w in works if any(memory.overlap(source, p) for p in w.reads())]
        if (
            len(makers) != 1
            or source not in makers[0].outs
            or source.dtype != target.dtype
            or (source.rows, source.columns) != (target.rows, target.columns)
            or readers != [copy]
            or read_elsewhere(source)
        ):
            continue
        (maker,) = makers
        m = works.index(maker)
        outs = tuple(target if out == source else out for out in maker.outs)
        moved = replace(maker, outs=outs)
        in_place = maker.elementwise and all(
            p == target or not memory.overlap(p, target) for p in maker.reads()
        )
        fits = target.strides[1] == 1 or target.columns == 1 or maker.elementwise
        if (
            m > n
            or not fits
            or not (in_place or not any(memory.overlap(p, target) for p in maker.reads()))
            or any(memory.conflict(w, copy) for w in works[m + 1 : n])
        ):
            continue
        works[m] = moved
        del works[n]
    return works


def accumulated(works: list[Work], memory: Memory, read_elsewhere: Any) -> list[Work]:
    """Accumulate products: a product whose result is only added to a value starts its sums from
    that value.

    read_elsewhere: whether a place is read by anything but the works given.
    """
    works = list(works)
    for product in [w for w in works if w.kind == "product" and len(w.args) == 2]:
        (out,) = product.outs
        readers = [w for w in works if any(memory.overlap(p, out) for p in w.reads())]
        if len(readers) != 1 or readers[0].kind != "add" or read_elsewhere(out):
            continue
        (add,) = readers
        n, m = works.index(product), works.index(add)
        if m < n or add.args.count(out) != 1:
            continue
        other = add.args[1 - add.args.index(out)]
        left = product.args[0]
        assert isinstance(left, Place)
        if (
            not isinstance(other, Place)
            or (other.strides[1] != 1 and other.columns > 1)
            or other.columns != out.columns
            or other.dtype != out.dtype
            or (add.rows, add.columns) != (out.rows, out.columns)
            or memory.overlap(add.outs[0], left)
            or (memory.overlap(add.outs[0], other) and add.outs[0] != other)
            or memory.overlap(other, out)
            or any(memory.conflict(product, w) for w in works[n + 1 : m])
        ):
            continue
        text = f"{add.text}, {product.text}"
        works[m] = Work("product", (*product.args, other), add.outs, text)
        del works[n]
    return works
