"""The command line: `python -m tinygrad_rnn train`, and `sample`."""

from __future__ import annotations

import argparse
import codecs
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from tinygrad_rnn import __version__
from tinygrad_rnn.training.character_run import CharacterRun, Options, saved_model

CHANGEABLE = ("learning_rate", "clip")
"""The options that a resumed run may change."""


PROGRAM = "python -m tinygrad_rnn" if sys.argv[0].endswith("__main__.py") else "tinygrad-rnn"
"""How this was called, for the commands that are shown."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 2, with one sentence, for a mistake."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:  # nobody reads on, as with `sample RUN | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, KeyError, OSError, ImportError) as problem:
        text = problem.args[0] if isinstance(problem, KeyError) else problem
        print(f"tinygrad-rnn: {text}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Train a recurrent character model on a file of text, and let it write.",
    )
    parser.add_argument("--version", action="version", version=f"tinygrad-rnn {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser(
        "train",
        help="train a model on a text",
        description="Train a model on a text, of any encoding and length: its characters are its "
        "bytes, and the file is mapped, not read. Ctrl-C saves the run; --resume goes on with it "
        "and ends with the same bits as an uninterrupted one.",
        epilog=f"for example: {PROGRAM} train book.txt --cell gru --layers 2 --plot",
    )
    train.add_argument("text", metavar="FILE", help="the text")
    train.add_argument("--out", type=Path, metavar="FILE", help="the saved run (FILE's name .npz)")
    train.add_argument("--resume", type=Path, metavar="RUN", help="go on with a saved run")
    train.add_argument("--epochs", type=float, default=10, metavar="X",
                       help="times through the text (10)")  # fmt: skip
    for name, about in [
        ("cell", "rnn, lstm or gru"),
        ("layers", "how many of them"),
        ("hidden-size", "units in each"),
        ("steps", "characters per update; the state goes on, the gradient does not"),
        ("batch-size", "places of the text that are read side by side"),
        ("truncation", 'within the steps, such as "Window(8)" or "Randomized(0.9)"'),
        ("dtype", "float32 or float64"),
        ("learning-rate", "of Adam"),
        ("clip", "largest norm of the gradient"),
        ("validation", "part at the end of the text that is held out"),
        ("seed", "of the first weights and of randomized truncation"),
    ]:
        default = getattr(Options, name.replace("-", "_"))
        kind = type(default)
        train.add_argument(
            f"--{name}",
            type=kind,
            metavar={str: "KIND", int: "N", float: "X"}[kind],
            help=f"{about} ({default})",
        )
    train.add_argument("--save-every", type=float, default=60, metavar="SECONDS",
                       help="how long the last save may be ago (60)")  # fmt: skip
    train.add_argument("--sample", type=int, default=200, metavar="N", help="characters written "
                       "after each epoch; 0 for none (200)")  # fmt: skip
    train.add_argument("--plot", action="store_true", help="draw perplexity and norms, as .png")
    train.set_defaults(command=_train)

    sample = commands.add_parser(
        "sample", help="let a trained model write", description="Let a trained model write."
    )
    sample.add_argument("model", type=Path, metavar="RUN", help="a saved run")
    sample.add_argument("--length", type=int, default=500, metavar="N", help="characters (500)")
    sample.add_argument("--prefix", metavar="TEXT", help="to go on from (the text's beginning)")
    sample.add_argument("--temperature", type=float, default=0.7, metavar="X",
                        help="below 1, likely characters become likelier (0.7)")  # fmt: skip
    sample.add_argument("--seed", type=int, metavar="N", help="of the draws (none: always others)")
    sample.set_defaults(command=_sample)
    return parser


# train ----------------------------------------------------------------------------------------


def _train(options: argparse.Namespace) -> int:
    for name in ("epochs", "save_every", "sample"):
        value = getattr(options, name)
        if not 0 <= value < float("inf"):
            raise ValueError(f"--{name.replace('_', '-')} must be at least 0, not {value:g}")
    names = {field.name for field in fields(Options)}
    given = {n: v for n, v in vars(options).items() if n in names and v is not None}
    if options.resume:
        run = _resumed(options, given)
    else:
        run = CharacterRun(options.text, Options(**given))
    path = options.out or options.resume or Path(Path(options.text).with_suffix(".npz").name)
    if path.exists() and path != options.resume:
        raise ValueError(
            f"{path} exists already: continue it with --resume, or choose another --out"
        )
    if options.plot:
        from tinygrad_rnn.analysis.pictures import new_figure

        new_figure(1, 1)  # that matplotlib is missing shows now, and not after hours
    run.save(path)  # likewise what is wrong with the path
    total = round(options.epochs * run.updates_per_epoch)
    if run.updates > total:
        raise ValueError(
            f"{options.resume} has already trained for "
            f"{run.updates / run.updates_per_epoch:.3g} epochs: give more than that as --epochs, "
            f"not {options.epochs:g}"
        )
    _introduce(run, total)
    with _interrupts() as interrupted, _bar(run, total) as bar:
        _until(run, total, path, options, bar, interrupted)
    run.save(path)
    if options.plot:
        _plot(run, path.with_suffix(".png"))
    if run.updates < total:
        command = f"train {quote(options.text)} --resume {quote(str(path))}"
        print(
            f"stopped after {run.updates:,} of {total:,} updates; go on with\n"
            f"  {PROGRAM} {command} --epochs {options.epochs:g}"
        )
        return 130
    print(f"saved {path}; let it write with\n  {PROGRAM} sample {quote(str(path))}")
    return 0


def _resumed(options: argparse.Namespace, given: dict[str, Any]) -> CharacterRun:
    changed = {name: value for name, value in given.items() if name in CHANGEABLE}
    run = CharacterRun.resumed(options.resume, options.text, **changed)
    for name, value in given.items():
        was = getattr(run.options, name)
        if value != was:
            raise ValueError(
                f"{options.resume} was started with --{name.replace('_', '-')} {was}, which cannot "
                f"be changed to {value}: omit the option, or start a new run"
            )
    return run


def _introduce(run: CharacterRun, total: int) -> None:
    options = run.options
    weights = sum(parameter.size for parameter in run.model.parameters().values())
    print(
        f"{len(run.bytes):,} bytes, {len(run.vocabulary)} different ones, "
        f"{options.validation:.0%} held out\n"
        f"{options.layers} × {options.cell} of {options.hidden_size}, {weights:,} weights in "
        f"{options.dtype}, {options.truncation} over {options.steps} steps\n"
        f"updates {run.updates:,} to {total:,}, {run.updates_per_epoch:,} an epoch"
    )


def _until(
    run: CharacterRun,
    total: int,
    path: Path,
    options: argparse.Namespace,
    bar: Callable[[str], None],
    interrupted: Callable[[], bool],
) -> None:
    """Train until so many updates, or an interrupt."""
    saved = time.monotonic()
    while run.updates < total and not interrupted():
        loss = run.update()
        if not loss < 700:  # exp of it, the perplexity, is beyond all numbers
            raise ValueError(
                f"the loss is {loss:g} at update {run.updates}: try a smaller --learning-rate; the "
                f"run that was saved before is unchanged"
            )
        bar(f"{np.exp(np.mean(run.losses[-50:])):.2f}")
        if run.updates % run.updates_per_epoch == 0 or run.updates == total:
            _report(run, options)
        if time.monotonic() - saved > options.save_every:
            run.save(path)
            saved = time.monotonic()


def _report(run: CharacterRun, options: argparse.Namespace) -> None:
    """What the model has learnt, below the bar."""
    n = min(run.updates_per_epoch, len(run.losses))
    perplexity = np.exp(np.mean(run.losses[-n:]))
    text = f"epoch {run.updates / run.updates_per_epoch:.3g}: perplexity {perplexity:.3f}"
    if run.options.validation:
        text += f", held out {run.validate():.3f}"
    _say(text)
    if options.sample:
        lines = run.sample(options.sample).splitlines() or [""]
        _say("\n".join(f"  | {line}" for line in lines))


def _say(text: str) -> None:
    """Print beside a progress bar, if there is one."""
    try:
        from tqdm import tqdm
    except ImportError:
        print(text, flush=True)
    else:
        tqdm.write(text)


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed, or the process asked to end: to be looked at between two
    updates, so that none is left half done. A second Ctrl-C ends it at once."""
    came: list[int] = []

    def note(number: int, frame: Any) -> None:
        came.append(number)
        signal.signal(number, before[number])

    before: dict[int, Any] = {}
    for number in (int(signal.SIGINT), int(signal.SIGTERM)):
        before[number] = signal.signal(number, note)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _bar(run: CharacterRun, total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar that shows the perplexity; without tqdm a line now and then."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield _lines(run, total)
        return
    with tqdm(
        total=total, initial=run.updates, desc="training", unit="update", mininterval=0.2
    ) as bar:

        def show(perplexity: str) -> None:
            bar.set_postfix(perplexity=perplexity, epoch=run.epoch, refresh=False)
            bar.update()

        yield show


def _lines(run: CharacterRun, total: int) -> Callable[[str], None]:
    last = time.monotonic()

    def show(perplexity: str) -> None:
        nonlocal last
        if time.monotonic() - last > 5:
            last = time.monotonic()
            print(f"{run.updates:,} of {total:,} updates, perplexity {perplexity}", flush=True)

    return show


def _plot(run: CharacterRun, path: Path) -> None:
    from tinygrad_rnn.analysis.pictures import BLUE, COLOURS, GREY, new_figure

    figure, _ = new_figure(7.2, 5.2, axes=False)
    above, below = figure.subplots(2, 1, sharex=True)
    updates = np.arange(1, len(run.losses) + 1)
    window = max(1, len(updates) // 100)
    smooth = np.convolve(run.losses, np.ones(window) / window, mode="valid")
    above.semilogy(updates, np.exp(run.losses), color=GREY, lw=0.4)
    above.semilogy(updates[window - 1 :], np.exp(smooth), color=BLUE, label="training")
    if run.validations:
        above.semilogy(*zip(*run.validations, strict=True), "o-", color=COLOURS[1],
                       label="held out")  # fmt: skip
    above.set(ylabel="perplexity")
    above.legend(frameon=False)
    below.semilogy(updates, run.norms, color=GREY, lw=0.4)
    below.axhline(run.options.clip, color=COLOURS[1], lw=1)
    below.set(xlabel="update", ylabel="norm of the gradient")
    figure.savefig(path)
    print(f"drew {path}")


# sample ---------------------------------------------------------------------------------------


def _sample(options: argparse.Namespace) -> int:
    if options.length < 0:
        raise ValueError(f"--length must be at least 0, not {options.length}")
    if not options.temperature > 0:
        raise ValueError(f"--temperature must be positive, not {options.temperature}")
    model, vocabulary, opening = saved_model(options.model)
    prefix = opening if options.prefix is None else vocabulary.encode(options.prefix.encode())
    numbers = model.sample(prefix, options.length, options.seed, options.temperature)
    sys.stdout.write(vocabulary.decode(prefix))
    letters = codecs.getincrementaldecoder("utf-8")("replace")  # a letter may take several bytes
    for number in numbers:
        sys.stdout.write(letters.decode(vocabulary.bytes[number].tobytes()))
        sys.stdout.flush()
    sys.stdout.write(letters.decode(b"", final=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
