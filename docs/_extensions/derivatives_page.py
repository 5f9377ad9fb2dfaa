"""The table of derivatives as a page to read, made from the table itself."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

import tinygrad_rnn
from tinygrad_rnn.engine.rules import Rule
from tinygrad_rnn.engine.table import (
    COMPOSED,
    CONSTANT,
    CONVENTIONS,
    METHODS,
    REFUSED,
    differentiable,
    rule_of,
)
from tinygrad_rnn.support.signatures import arguments

ORDER = (
    *("arithmetic", "elementary", "reductions", "statistics", "accumulations", "shapes"),
    *(
        "joining",
        "indexing",
        "products",
        "contractions",
        "einsum",
        "linalg",
        "norms",
        "several",
        "signals",
    ),
    "functions",
)

HEAD = """\
# The table of derivatives

Every function that can be differentiated, as it stands in the source: this page is made from the
table when the site is built (with NumPy {version}).

In a derivative `g` is the gradient from above and `y` the function's value; the other names are the
arguments of the function, as NumPy calls them, and `shape_of_x` is the shape of `x` alone. What a
derivative names is what the graph keeps alive. The derivatives are plain NumPy and so in the table
themselves: each is its own second derivative, and third.

```{{raw}} html
<input id="filter" type="search" aria-label="Filter the table"
 placeholder="Filter: tanh, linalg, keeps nothing …">
<script>
document.addEventListener("DOMContentLoaded", () => {{
  const rows = [...document.querySelectorAll("article table tbody tr")];
  document.getElementById("filter").addEventListener("input", (event) => {{
    const words = event.target.value.toLowerCase().split(/\\s+/);
    for (const row of rows)
      row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  }});
}});
</script>
```
"""


def page() -> str:
    """The whole page, as Markdown."""
    sections: dict[ModuleType, tuple[list[str], dict[str, str]]] = {}
    for function in differentiable():
        rule = rule_of(function)
        module = _module(rule)
        if module is None:
            continue
        rows, definitions = sections.setdefault(module, ([], {}))
        rows += _rows(function, rule, definitions)
    for function, composition in COMPOSED.items():
        module = _home(composition.call)
        if module is None:
            continue
        rows, definitions = sections.setdefault(module, ([], {}))
        written = f"= `{_as_written(composition.call, definitions)}`"
        rows.append(_row(f"`{name(function)}`", "", written, "", CONVENTIONS.get(function, "")))
    in_order = sorted(sections, key=_place)
    return "\n".join([head(), *(_section(m, *sections[m]) for m in in_order), *_rest()]) + "\n"


def head() -> str:
    """The first lines, which say with which NumPy the page was made."""
    return HEAD.format(version=".".join(np.__version__.split(".")[:2]))


def _place(module: ModuleType) -> int:
    last = module.__name__.rpartition(".")[2]
    return ORDER.index(last) if last in ORDER else len(ORDER)


def _section(module: ModuleType, rows: list[str], definitions: dict[str, str]) -> str:
    title = (module.__doc__ or "").splitlines()[0].rstrip(".")
    head = "| function | by | derivative | keeps | convention |\n|---|---|---|---|---|"
    where = "\n\n\n".join(definitions.values())  # as a formatter of Python has it
    note = f"\nwhere\n\n```python\n{where}\n```\n" if where else ""
    return "\n".join([f"## {title}\n", head, *rows, note])


def _rows(function: Any, rule: Rule, definitions: dict[str, str]) -> Iterator[str]:
    shown, says = f"`{name(function)}`", CONVENTIONS.get(function, "")
    for argument, pullback in rule.arguments:
        if pullback is not None:
            keeps = [f"`{need}`" for need in pullback.needs if need in ("y", *_arrays(rule))]
            written = f"`{_as_written(pullback.function, definitions)}`"
            yield _row(shown, f"`{argument}`", written, ", ".join(keeps) or "nothing", says)
            shown = says = ""


def _arrays(rule: Rule) -> list[str]:
    """The arguments that can be arrays: those with a pull-back, and those that must be given."""
    differentiable = [argument for argument, pullback in rule.arguments if pullback is not None]
    return [
        n for n in rule.names if n in differentiable or n not in arguments(rule.function).optional
    ]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _rest() -> list[str]:
    plain = sorted({name(f) for f in CONSTANT})
    reasons: dict[str, list[str]] = {}
    for function, reason in REFUSED.items():
        reasons.setdefault(reason, []).append(name(function))
    return [
        "## Methods of ufuncs\n",
        f"`{'`, `'.join(METHODS)}` work for every ufunc of two arguments in the table.\n",
        "## Without a derivative\n",
        f"Plain arrays come out of `{'`, `'.join(plain)}`.\n",
        *(f"`{'`, `'.join(sorted(f))}`: {reason}.\n" for reason, f in reasons.items()),
        "Every other function is refused, with a sentence that says how to add it.",
    ]


# Names and sources ------------------------------------------------------------------------------
@functools.cache
def _known() -> dict[Any, str]:
    found: dict[Any, str] = {}
    spaces: dict[str, Any] = {"np.": np, "np.linalg.": np.linalg, "np.fft.": np.fft}
    spaces |= {"np.emath.": np.emath, "tg.": tinygrad_rnn}
    for prefix, space in spaces.items():
        for key, value in sorted(vars(space).items()):
            is_function = callable(value) and not isinstance(value, type)
            if is_function and (value not in found or key == value.__name__):
                found[value] = prefix + key
    return found


def name(function: Callable[..., Any]) -> str:
    """What a function is called in a program: `np.linalg.norm`, `np.add.at`."""
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):
        return f"{name(owner)}.{function.__name__}"
    return _known().get(function, function.__name__)


def _module(rule: Rule) -> ModuleType | None:
    return next((_home(p.function) for _, p in rule.arguments if p is not None), None)


def _home(function: Callable[..., Any]) -> ModuleType | None:
    """The module of this package that a function is written in; None for a user's own."""
    written_in = Path(function.__code__.co_filename)
    inside = written_in.is_relative_to(Path(tinygrad_rnn.__file__).parent)
    return inspect.getmodule(function) if inside else None


def _as_written(function: Callable[..., Any], definitions: dict[str, str]) -> str:
    """The body of a lambda; for a function the name, and its source among the definitions."""
    code: CodeType = function.__code__
    if function.__name__ != "<lambda>":
        written = f"{code.co_name}({', '.join(inspect.signature(function).parameters)})"
        if code.co_name not in definitions:
            definitions[code.co_name] = textwrap.dedent(inspect.getsource(function)).rstrip()
        return written
    source = Path(code.co_filename).read_text(encoding="utf-8")
    body = _lambdas(source)[code.co_firstlineno, _column(code)]
    text = ast.get_source_segment(source, body) or ast.unparse(body)
    return " ".join(textwrap.dedent(text).split())


def _column(code: CodeType) -> int:
    """The column of the first name in a lambda's body, to tell two on one line from each other."""
    positions = [(line, column) for line, _, column, _ in code.co_positions() if column]
    return min((c or 0) for line, c in positions if line == min(li or 0 for li, _ in positions))


@functools.cache
def _lambdas(source: str) -> dict[tuple[int, int], ast.expr]:
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Lambda):
            inside = [n for n in ast.walk(node.body) if isinstance(n, ast.expr)]
            first = min(n.lineno for n in inside)
            column = min(n.col_offset for n in inside if n.lineno == first)
            found[node.lineno, column] = node.body
    return found
