"""The rendering script: `python -m viz rnn`, `truncation`, `script` and `play`."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from traceback import extract_tb
from typing import Any

import tinygrad_rnn as tg
from tinygrad_rnn.recurrent.strategy import strategy
from viz.checks import DETAILS
from viz.drawing import draw
from viz.figure import SUFFIXES, Figure
from viz.models import CELLS, recurrent_loss
from viz.player.play import play
from viz.strategies import draw_truncations

TEXT = "the time machine by h g wells"
STRATEGIES = ("Randomized(0.8, rng=3)", "Subsequence(4)", "Full()")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Return the exit status: 2, with one sentence, for a user's mistake."""
    options = _parser().parse_args(arguments)
    try:
        made = options.command(options)
        path = made.save(options.output, dpi=options.dpi) if isinstance(made, Figure) else made
    except (UsageError, *USUAL) as problem:
        print(f"python -m viz: {problem}", file=sys.stderr)
        return 2
    print(path)
    return 0


class UsageError(Exception):
    """An error that the user can correct. Its text says how."""


USUAL = ValueError, TypeError, RuntimeError, ImportError, OSError
"""The errors of wrong arguments, of which the user is shown the text alone."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m viz",
        description="Draw computational graphs as a textbook does: boxes are named values, circles "
        "what is computed between them, shaded boxes the parameters, and time grows upwards.",
    )
    commands = parser.add_subparsers(title="what to draw", required=True, metavar="COMMAND")

    rnn = _command(
        commands,
        "rnn",
        "a recurrent network, unrolled over its steps",
        "Unroll a recurrent network with an output and a loss at every step, and draw what was "
        "recorded.",
        "python -m viz rnn --steps 3 -o figure.svg\n"
        '  python -m viz rnn --steps 5 --truncation "Subsequence(2)" -o cut.png\n'
        "  python -m viz rnn --cell lstm --layers 2 --detail ops -o lstm.pdf",
    )
    _add_network_options(rnn)
    rnn.add_argument(
        "--truncation",
        metavar="STRATEGY",
        help='such as "Subsequence(2)", "Window(1)" or "Randomized(0.5, rng=0)"',
    )
    _add_drawing_options(rnn)
    rnn.set_defaults(command=_rnn)

    truncation = _command(
        commands,
        "truncation",
        "truncation strategies side by side, over a text",
        "Draw a text, a step for each character, and under it a row of arrows for each strategy: "
        "an arrow spans the steps through which a loss is differentiated.",
        'python -m viz truncation --text "the time machine" -o figure.svg\n'
        '  python -m viz truncation --strategy "Window(3)" --strategy "TBPTT(4, 8)" --names '
        "-o windows.png",
    )
    truncation.add_argument("--text", default=TEXT, help=f"the text ({TEXT!r})")
    truncation.add_argument(
        "--strategy",
        action="append",
        metavar="STRATEGY",
        help=f"a row; may be given several times ({', '.join(STRATEGIES)})",
    )
    truncation.add_argument("--names", action="store_true", help="write each strategy beside it")
    truncation.set_defaults(command=_truncation)

    script = _command(
        commands,
        "script",
        "what a function of yours computes",
        "Call a function without arguments that returns a Tensor, or several, and draw what was "
        "recorded.",
        "python -m viz script my_model.py:build -o figure.svg",
    )
    script.add_argument("function", metavar="FILE.py:FUNCTION", help="where the function is")
    _add_drawing_options(script)
    script.set_defaults(command=_script)

    played = _command(
        commands,
        "play",
        "a page that plays a forward and a backward pass, under every truncation",
        "Record a recurrent network, or what a function of yours returns (a loss, or the losses of "
        "all steps), and write a page in which it can be played; or, as .svg, one backward sweep.",
        "python -m viz play --steps 6 -o bptt.html\n"
        "  python -m viz play --cell lstm --layers 2 -o lstm.html\n"
        "  python -m viz play my_model.py:losses -o model.html\n"
        "  python -m viz play --steps 4 -o sweep.svg",
        suffixes=("html", "svg"),
    )
    played.add_argument(
        "function", nargs="?", metavar="FILE.py:FUNCTION", help="what to play instead of a network"
    )
    _add_network_options(played)
    played.add_argument("--title", help="of the page")
    played.add_argument("--detail", choices=DETAILS, default="named", help="as for script (named)")
    played.set_defaults(command=_play)
    return parser


def _command(
    commands: Any,
    name: str,
    short: str,
    long: str,
    examples: str,
    suffixes: Sequence[str] = SUFFIXES,
) -> Any:
    parser = commands.add_parser(
        name,
        help=short,
        description=fill(long, 78),
        epilog=f"examples:\n  {examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help=f"where to; the suffix says as what: {', '.join(suffixes)}",
    )
    if "png" in suffixes:
        parser.add_argument("--dpi", type=int, default=300, help="dots per inch of a png (300)")
    return parser


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=3, metavar="T", help="time steps (3)")
    parser.add_argument("--cell", choices=list(CELLS), default="rnn", help="kind of cell (rnn)")
    parser.add_argument("--layers", type=int, default=1, metavar="N", help="layers of cells (1)")
    parser.add_argument("--hidden", type=int, default=5, metavar="N", help="width of the state (5)")
    parser.add_argument("--bias", action="store_true", help="with a bias b_h")


def _add_drawing_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--detail",
        choices=DETAILS,
        default="named",
        help="named: a circle for all that is computed between named values; "
        "ops: a circle for every operation (named)",
    )
    parser.add_argument(
        "--fold",
        type=int,
        default=8,
        metavar="ROWS",
        help="fold sequences of more steps than this into so many rows; 0 folds nothing (8)",
    )


def _rnn(options: argparse.Namespace) -> Figure:
    loss = recurrent_loss(
        options.steps,
        options.hidden,
        options.cell,
        options.layers,
        options.bias,
        strategy(options.truncation) if options.truncation else None,
    )
    return draw(loss, detail=options.detail, fold=options.fold or None)


def _truncation(options: argparse.Namespace) -> Figure:
    texts = options.strategy or STRATEGIES
    strategies = [strategy(text) for text in texts]
    if options.names:
        return draw_truncations(options.text, dict(zip(texts, strategies, strict=True)))
    return draw_truncations(options.text, strategies)


def _script(options: argparse.Namespace) -> Figure:
    outputs = outputs_of(options.function)
    return draw(*outputs, detail=options.detail, fold=options.fold or None)


def _play(options: argparse.Namespace) -> Path:
    if options.function:
        losses = outputs_of(options.function)
    else:
        losses = [
            recurrent_loss(
                options.steps, options.hidden, options.cell, options.layers, options.bias
            )
        ]
    play(losses, options.output, options.title, options.detail)
    return Path(options.output)


def outputs_of(place: str) -> list[tg.Tensor]:
    """The list of Tensors that the function at `file.py:function` returns.

    Raises UsageError where there is no such file or function, or where it returns something else.
    """
    file, colon, name = place.rpartition(":")
    if not colon or not name.isidentifier():
        raise UsageError(f"{place!r} does not name a function; write it as my_model.py:build")
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"there is no file {file!r}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{file!r} is not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))  # so that the file finds the modules beside it
    try:
        spec.loader.exec_module(module)
        function = getattr(module, name, None)
        if not callable(function):
            there = [n for n, f in vars(module).items() if callable(f) and not n.startswith("_")]
            raise UsageError(
                f"{file} has no function {name!r}"
                + (f"; it has {', '.join(sorted(there))}" if there else "")
            )
        result = function()
    except SyntaxError as problem:
        raise UsageError(
            f"{file}, line {problem.lineno}, is not valid Python: {problem.msg}"
        ) from None
    except USUAL as problem:  # in the user's own code, so say where
        frames = [f for f in extract_tb(problem.__traceback__) if f.filename == str(path)]
        line = f", line {frames[-1].lineno}" if frames else ""
        raise UsageError(f"{file}{line}: {type(problem).__name__}: {problem}") from problem
    finally:
        sys.path.pop(0)
    outputs = list(result) if isinstance(result, tuple | list) else [result]
    if not outputs or not all(isinstance(output, tg.Tensor) for output in outputs):
        kinds = ", ".join(type(output).__name__ for output in outputs) or "nothing"
        raise UsageError(f"{name} must return a Tensor or several Tensors, but it returned {kinds}")
    return outputs


if __name__ == "__main__":
    sys.exit(main())
