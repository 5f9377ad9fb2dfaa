"""The Python source of a program with machine code. It is the NumPy program, with a call in place
of each run of instructions. A comment above the call says which instructions became which loops."""

from __future__ import annotations

from typing import Any

from tinygrad_rnn.compiler.backends.native.links import Link, called, called_at
from tinygrad_rnn.compiler.backends.native.translate import Translation
from tinygrad_rnn.compiler.backends.numpy_source import Page
from tinygrad_rnn.compiler.ir import Instr, Program, Ref


class NativePage(Page):
    """A NumPy page with calls of machine code. notes: the loops of each run. reasons: why the rest
    was left to NumPy."""

    def __init__(self, program: Program, translation: Translation) -> None:
        super().__init__(program)
        self.translation = translation

    def lines_of(self, instr: Instr) -> list[str]:
        lines = super().lines_of(instr)
        if instr.function not in (called, called_at):
            return lines
        name = self.run(instr).partition("_")[2]
        in_python = any(run.name == name and run.each_step for run in self.translation.runs)
        if in_python and instr.function is called:
            return [f"# {name}: what is the same at all steps.", *lines]
        notes = self.translation.notes[name]
        return [f"# {name}, machine code:", *(f"#   {line}" for line in notes), *lines]

    def run(self, instr: Instr) -> str:
        """The name of the function that a call calls: run_… or step_…."""
        (ref, *_) = instr.args
        assert isinstance(ref, Ref)
        return ref.buffer.name

    def statement(self, instr: Instr) -> str:
        if instr.function in (called, called_at) and not isinstance(instr.out, tuple):
            return self.call(instr)
        return super().statement(instr)

    def call(self, instr: Instr) -> str:
        function, args = instr.function, instr.args
        if isinstance(function, Link):
            return f"{function.__name__}({', '.join(map(self.argument, args))})"
        if function in (called, called_at):
            return f"{self.run(instr)}({', '.join(map(self.argument, args[1:]))})"
        return super().call(instr)


def written(program: Program, threads: int = 1) -> tuple[str, dict[str, Any], Program]:
    """The source, the functions that it needs, and its program.

    Comments above the program say what was left to NumPy, and why.
    """
    translation = Translation(program, threads)
    result = translation.result()
    links = {
        instr.function.__name__: instr.function
        for instr in result.setup
        if isinstance(instr.function, Link)
    }
    left = "".join(f"# NumPy: {line}\n" for line in translation.arrangement.left_to_numpy())
    return left + NativePage(result, translation).text(), links, result


def llvm_ir(program: Program, threads: int = 1) -> str:
    """The LLVM IR of a program's machine code."""
    return Translation(program, threads).text
