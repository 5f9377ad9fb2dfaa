"""A program with machine code in it as Python source: the NumPy program, and in the place of each
run of instructions a call, under a comment that says which instructions became which loops."""

from __future__ import annotations

from typing import Any

from tinygrad_rnn.compiler.backends.native.translate import Link, Translation, called
from tinygrad_rnn.compiler.backends.numpy_source import Page
from tinygrad_rnn.compiler.ir import Instr, Program, Ref


class NativePage(Page):
    """notes: for each run the loops that were made; reasons: why the rest was left to NumPy."""

    def __init__(self, program: Program, translation: Translation) -> None:
        super().__init__(program)
        self.translation = translation

    def lines(self, instr: Instr) -> list[str]:
        lines = super().lines(instr)
        if instr.function is called:
            name = self.run(instr)
            return [f"# {name}, machine code:", *self.notes(name), *lines]
        return lines

    def notes(self, name: str) -> list[str]:
        return [f"#   {line}" for line in self.translation.notes[name.removeprefix("run_")]]

    def run(self, instr: Instr) -> str:
        (ref, *_) = instr.args
        assert isinstance(ref, Ref)
        return ref.buffer.name

    def statement(self, instr: Instr) -> str:
        if instr.function is called:
            return self.call(instr)
        return super().statement(instr)

    def call(self, instr: Instr) -> str:
        function, args = instr.function, instr.args
        if isinstance(function, Link):
            return f"{function.__name__}({', '.join(map(self.argument, args))})"
        if function is called:
            return f"{self.run(instr)}({', '.join(map(self.argument, args[1:]))})"
        return super().call(instr)


def written(program: Program, threads: int = 1) -> tuple[str, dict[str, Any], Program]:
    """The source, the functions that it needs, and the program that it is the source of.

    Above the program stands, in comments, what was left to NumPy and why.
    """
    translation = Translation(program, threads)
    result = translation.result()
    links = {
        instr.function.__name__: instr.function
        for instr in result.setup
        if isinstance(instr.function, Link)
    }
    left = "".join(f"# NumPy: {line}\n" for line in translation.left_to_numpy())
    return left + NativePage(result, translation).text(), links, result


def llvm_ir(program: Program) -> str:
    """The machine code of a program as LLVM writes it down."""
    return Translation(program).text
