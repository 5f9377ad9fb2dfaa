"""LLVM IR as text: functions, values and loops. This module knows the syntax of LLVM IR, and
nothing about programs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np


class Vector(NamedTuple):
    """A vector type: a number of lanes of a kind, "float", "double", "i1", "i8", "i32" or "i64"."""

    kind: str
    lanes: int = 1

    def __str__(self) -> str:
        return self.kind if self.lanes == 1 else f"<{self.lanes} x {self.kind}>"

    def of(self, kind: str) -> Vector:
        """The type with the same number of lanes of another kind."""
        return Vector(kind, self.lanes)

    @property
    def suffix(self) -> str:
        """The type's suffix in the names of intrinsics."""
        kind = {"float": "f32", "double": "f64"}.get(self.kind, self.kind)
        return kind if self.lanes == 1 else f"v{self.lanes}{kind}"


POINTER, INDEX, TRUTH = Vector("ptr"), Vector("i64"), Vector("i1")

BYTES = {"float": 4, "double": 8, "i8": 1, "i32": 4, "i64": 8}

KINDS = {
    np.dtype(np.float32): "float",
    np.dtype(np.float64): "double",
    np.dtype(np.bool): "i8",
    np.dtype(np.int32): "i32",
    np.dtype(np.int64): "i64",
}
"""The LLVM types of array entries in memory, by NumPy type."""


class Value(NamedTuple):
    """A value of a function: its type, and its name or, for a constant, its text."""

    type: Vector
    name: str

    def __str__(self) -> str:
        return f"{self.type} {self.name}"


def constant(form: Vector, number: float) -> Value:
    """The same number in every lane. Floating-point numbers are written by their bits."""
    if form.kind in ("float", "double"):
        if form.kind == "float":
            number = float(np.float32(number))
        text = f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"
    else:
        text = str(int(number))
    return Value(form, text if form.lanes == 1 else f"splat ({form.kind} {text})")


class Function:
    """A function being written, instruction after instruction.

    parameters: its arguments, in order. public: whether it can be called from outside. apart:
        whether it is never inlined.
    """

    def __init__(
        self,
        module: Module,
        name: str,
        types: list[Vector],
        result: str,
        public: bool,
        apart: bool,
    ) -> None:
        self.module, self.result = module, result
        self.parameters = [Value(form, f"%p{n}") for n, form in enumerate(types)]
        given = ", ".join(
            f"ptr noalias {p.name}" if public and p.type == POINTER else str(p)
            for p in self.parameters
        )
        linkage = "" if public else "internal "
        self.head = f"define {linkage}{result} @{name}({given}) #{int(apart)} {{"
        self.lines: list[str] = []
        self.count = 0
        self.block = "entry"

    def __str__(self) -> str:
        return "\n".join([self.head, "entry:", *self.lines, "}"])

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def op(self, form: Vector, text: str) -> Value:
        """Add an instruction that has a value."""
        value = Value(form, self.fresh("%v"))
        self.lines.append(f"  {value.name} = {text}")
        return value

    def do(self, text: str) -> None:
        """Add an instruction that has no value."""
        self.lines.append(f"  {text}")

    def binary(self, name: str, a: Value, b: Value | float) -> Value:
        """`fadd`, `add`, `shl` and so on; a number stands for a constant."""
        other = b if isinstance(b, Value) else constant(a.type, b)
        return self.op(a.type, f"{name} {a}, {other.name}")

    def compare(self, how: str, a: Value, b: Value | float) -> Value:
        """`olt` and so on for floating-point numbers, `slt` and so on for integers."""
        other = b if isinstance(b, Value) else constant(a.type, b)
        name = "fcmp" if a.type.kind in ("float", "double") else "icmp"
        return self.op(a.type.of("i1"), f"{name} {how} {a}, {other.name}")

    def select(self, truth: Value, a: Value, b: Value) -> Value:
        return self.op(a.type, f"select {truth}, {a}, {b}")

    def cast(self, name: str, a: Value, kind: str) -> Value:
        """`bitcast`, `zext`, `sitofp` and so on, lane by lane."""
        form = a.type.of(kind)
        return self.op(form, f"{name} {a} to {form}")

    def intrinsic(self, name: str, *given: Value) -> Value:
        """A function that LLVM knows, such as `fmuladd` or `fabs`, lane by lane."""
        form = given[0].type
        full = f"llvm.{name}.{form.suffix}"
        self.module.declared.add(f"declare {form} @{full}({', '.join(str(v.type) for v in given)})")
        return self.op(form, f"call {form} @{full}({', '.join(map(str, given))})")

    def call(self, name: str, *given: Value) -> None:
        """Call a function of this module that has no value."""
        self.do(f"call void @{name}({', '.join(map(str, given))})")

    def fma(self, a: Value, b: Value | float, c: Value | float) -> Value:
        """a·b + c, rounded once where the processor supports it."""
        b, c = (v if isinstance(v, Value) else constant(a.type, v) for v in (b, c))
        return self.intrinsic("fmuladd", a, b, c)

    def lanes(self, a: Value, start: int, count: int) -> Value:
        """Some consecutive lanes. Lanes beyond the last are undefined."""
        if count == 1:
            if a.type.lanes == 1:
                return a
            return self.op(Vector(a.type.kind), f"extractelement {a}, i64 {start}")
        form = Vector(a.type.kind, count)
        if a.type.lanes == 1:
            return self.op(form, f"insertelement {form} poison, {a}, i64 0")
        if start == 0 and count == a.type.lanes:
            return a
        chosen = ", ".join(
            f"i32 {n}" if n < a.type.lanes else "i32 poison" for n in range(start, start + count)
        )
        return self.op(form, f"shufflevector {a}, {a.type} poison, <{count} x i32> <{chosen}>")

    def shuffle(self, a: Value, b: Value, places: list[int]) -> Value:
        """Lanes of two values by their places. The places of the second value come after those of
        the first."""
        chosen = ", ".join(f"i32 {n}" for n in places)
        form = Vector(a.type.kind, len(places))
        return self.op(form, f"shufflevector {a}, {b}, <{len(places)} x i32> <{chosen}>")

    def padded(self, a: Value, lanes: int) -> Value:
        """The value with more lanes. The new lanes are zero."""
        form = Vector(a.type.kind, lanes)
        if a.type.lanes == 1:
            return self.op(form, f"insertelement {form} zeroinitializer, {a}, i64 0")
        chosen = ", ".join(f"i32 {min(n, a.type.lanes)}" for n in range(lanes))
        zeros = f"{a.type} zeroinitializer"
        return self.op(form, f"shufflevector {a}, {zeros}, <{lanes} x i32> <{chosen}>")

    def spread(self, a: Value, lanes: int) -> Value:
        """One number in every lane."""
        if lanes == 1:
            return a
        form = Vector(a.type.kind, lanes)
        first = self.op(form, f"insertelement {form} poison, {a}, i64 0")
        return self.op(
            form, f"shufflevector {first}, {form} poison, <{lanes} x i32> zeroinitializer"
        )

    def at(self, pointer: Value, index: Value | int, kind: str) -> Value:
        """The address a number of entries further on."""
        if isinstance(index, int):
            if index == 0:
                return pointer
            index = constant(INDEX, index)
        return self.op(POINTER, f"getelementptr {kind}, {pointer}, {index}")

    def load(self, pointer: Value, form: Vector) -> Value:
        return self.op(form, f"load {form}, {pointer}, align {BYTES.get(form.kind, 8)}")

    def store(self, value: Value, pointer: Value) -> None:
        self.do(f"store {value}, {pointer}, align {BYTES.get(value.type.kind, 8)}")

    def prefetch(self, pointer: Value, write: bool = False, near: bool = False) -> None:
        """Begin to load a cache line, into the L2 cache; into the L1 cache to write it, or if the
        line is needed soon (near)."""
        self.module.declared.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        how = f"i32 {int(write)}, i32 {3 if write or near else 2}"
        self.do(f"call void @llvm.prefetch.p0({pointer}, {how}, i32 1)")

    def begin(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.block = label

    def jump(self, label: str) -> None:
        self.do(f"br label %{label}")

    def branch(self, truth: Value, yes: str, no: str) -> None:
        self.do(f"br {truth}, label %{yes}, label %{no}")

    @contextmanager
    def loop(self, start: Value | int, stop: Value | int, step: int = 1) -> Iterator[Value]:
        """A loop over index in start, start + step, … below stop. It may have no iterations."""
        with self.carrying(start, stop, step, []) as (index, _, _):
            yield index

    @contextmanager
    def carrying(
        self, start: Value | int, stop: Value | int, step: int, begins: list[Value]
    ) -> Iterator[tuple[Value, list[Value], list[Value]]]:
        """A loop that carries values in registers: the index, the values, and a list of these that
        takes the values of the next iteration."""
        first, limit = (v if isinstance(v, Value) else constant(INDEX, v) for v in (start, stop))
        head, body, end = (self.fresh(s) for s in ("head", "body", "end"))
        before = self.block
        self.jump(head)
        self.begin(head)
        index = Value(INDEX, self.fresh("%i"))
        values = [Value(v.type, self.fresh("%s")) for v in begins]
        place = len(self.lines)
        self.lines += [""] * (1 + len(values))
        self.branch(self.compare("slt", index, limit), body, end)
        self.begin(body)
        following = list(values)
        yield index, values, following
        following = [self.binary("add nsw", index, step), *following]
        carried = zip([index, *values], [first, *begins], following, strict=True)
        for n, (value, begin, after) in enumerate(carried, place):
            self.lines[n] = (
                f"  {value.name} = phi {value.type} [ {begin.name}, %{before} ], "
                f"[ {after.name}, %{self.block} ]"
            )
        self.jump(head)
        self.begin(end)


class Module:
    """The functions of a module, and the declarations of the intrinsics that they call."""

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}
        self.declared: set[str] = set()

    def function(
        self,
        name: str,
        types: list[Vector],
        result: str = "void",
        public: bool = False,
        apart: bool = False,
    ) -> Function:
        made = self.functions[name] = Function(self, name, types, result, public, apart)
        return made

    def __str__(self) -> str:
        return "\n\n".join(
            [
                *sorted(self.declared),
                *map(str, self.functions.values()),
                'attributes #0 = { nounwind "no-trapping-math"="true" }',
                'attributes #1 = { nounwind noinline "no-trapping-math"="true" }\n',
            ]
        )
