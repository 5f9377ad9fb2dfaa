"""The mutants of a file: its text with one small change each, made by cosmic-ray's operators."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import ExprStmt, Keyword

REPLACED = """
    Binary: Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Div Mod_Mul Pow_Mul BitOr_BitAnd BitAnd_BitOr
    Comparison: Eq_NotEq NotEq_Eq Lt_LtE LtE_Lt Gt_GtE GtE_Gt Lt_GtE Gt_LtE Is_IsNot IsNot_Is
    Unary: Delete_Not Delete_USub Delete_Invert
"""
"""One replacement for each operator: cosmic-ray's other ones fail together with it."""

NAMED = """
    AddNot ReplaceTrueWithFalse ReplaceFalseWithTrue ReplaceAndWithOr ReplaceOrWithAnd
    ReplaceBreakWithContinue ReplaceContinueWithBreak ExceptionReplacer NumberReplacer
    RemoveDecorator ZeroIterationForLoop
"""


class RemoveKeyword(Operator):
    """f(x, axis=0) becomes f(x)."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type in ("arglist", "trailer"):
            for child in node.children:
                if child.type == "argument" and child.children[1] == "=":
                    yield child.start_pos, child.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        keywords = [c for c in node.children if c.type == "argument" and c.children[1] == "="]
        place = node.children.index(keywords[index])
        until = place + 2 if node.children[place + 1 : place + 2] == [","] else place + 1
        del node.children[place:until]
        return node

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


class RemoveStatement(Operator):
    """`raise`, a call for its effect, and what is written into an array or object become `pass`."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "simple_stmt" and self.has_an_effect(node.children[0]):
            yield node.start_pos, node.end_pos

    @staticmethod
    def has_an_effect(statement: Any) -> bool:
        if isinstance(statement, ExprStmt):  # x.y = z, x[y] = z, x += y
            augmented = statement.children[1].type == "augassign" or (
                getattr(statement.children[1], "value", "=") not in ("=", ":")
            )
            return augmented or statement.children[0].type in ("atom_expr", "power")
        return statement.type in ("atom_expr", "raise_stmt", "del_stmt")

    def mutate(self, node: Any, index: int) -> Any:
        node.children[0] = Keyword("pass", node.start_pos, node.get_first_leaf().prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


def operators() -> dict[str, Operator]:
    names = NAMED.split()
    for line in REPLACED.strip().splitlines():
        kind, _, pairs = line.strip().partition(":")
        names += [f"Replace{kind}Operator_{pair}" for pair in pairs.split()]
    found = {name: get_operator(f"core/{name}")() for name in names}
    return found | {"RemoveKeyword": RemoveKeyword(), "RemoveStatement": RemoveStatement()}


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    change: "old line → new line", as it is shown; which: of several such changes in one function.
    lines: the first and the last line of the statements that change. source: the changed text of
    the file. statement: of it, the statement of the module that is changed.
    """

    path: str
    function: str
    change: str
    which: int
    lines: tuple[int, int]
    source: str
    statement: str

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def name(self) -> str:
        return f"{self.path} {self.function}: {self.change}" + f" ({self.which})" * (self.which > 0)


def mutants(path: str, root: Path) -> Iterator[Mutant]:
    """All mutants of a file that mean something else: changes of type annotations do not."""
    text = (root / path).read_text(encoding="utf-8")
    functions, counts = functions_of(text), Counter[tuple[str, str]]()
    spans = spans_of(text)
    before = ""
    for statement in get_ast(text).children:
        piece = statement.get_code()
        first, after = before.count("\n") + 1, text[len(before) + len(piece) :]
        for changed in changes(statement, piece):
            change, start, end = difference(piece, changed)
            function = functions.get(first + start, "")
            counts[function, change] += 1
            which, last = counts[function, change] - 1, first + end
            lines = (
                spans.get(first + start, (first + start, last))[0],
                spans.get(last, (0, last))[1],
            )
            source = before + changed + after
            yield Mutant(path, function, change, which, lines, source, changed)
        before += piece


def changes(statement: Any, text: str) -> Iterator[str]:
    """The texts of a statement that the operators make of it."""
    seen = {meaning_of(text)}
    for operator in operators().values():
        positions = [p for node in ast_nodes(statement) for p in operator.mutation_positions(node)]
        for number in range(len(positions)):
            changed = mutate_code(text, operator, number)
            try:
                meaning = meaning_of(changed)
            except SyntaxError:
                continue
            if meaning not in seen:
                seen.add(meaning)
                yield changed


def meaning_of(text: str) -> str:
    """The syntax tree without annotations, places, and checks that zip's lengths are equal. The
    length that reshape finds out is written as any negative number."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            node.keywords = [k for k in node.keywords if k.arg != "strict"]
            if ast.unparse(node.func).endswith("reshape"):
                for shape in node.args:
                    for length in shape.elts if isinstance(shape, ast.Tuple) else [shape]:
                        if isinstance(length, ast.UnaryOp) and ast.unparse(length) == "-2":
                            length.operand = ast.Constant(1)
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def functions_of(text: str) -> dict[int, str]:
    """By line, the name of the innermost function or class around it."""
    found: dict[int, str] = {}

    def visit(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}" if name else child.name
                for line in range(child.lineno, (child.end_lineno or child.lineno) + 1):
                    found[line] = inner
                visit(child, inner)
            else:
                visit(child, name)

    visit(ast.parse(text), "")
    return found


def spans_of(text: str) -> dict[int, tuple[int, int]]:
    """By line, the first and the last line of the innermost statement around it; of a statement
    with a body, what stands before the body."""
    found: dict[int, tuple[int, int]] = {}
    for node in ast.walk(ast.parse(text)):  # inner ones come later
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or node.lineno
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                found[line] = (node.lineno, last)
    return found


def difference(old: str, new: str) -> tuple[str, int, int]:
    """What changes, as "old → new", and the first and last line of it in the old text, from 0."""
    before, after = old.splitlines(), new.splitlines()
    start = 0
    while before[start : start + 1] == after[start : start + 1]:
        start += 1
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1

    def shown(lines: list[str]) -> str:
        return " ".join(" ".join(line.split()) for line in lines[start : len(lines) - end])

    change = f"{shown(before)} → {shown(after) or '(nothing)'}"
    return change, start, max(start, len(before) - end - 1)
