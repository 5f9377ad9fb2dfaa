"""`python -m tests.mutants`: which small changes of the program would no test notice?

Every file is changed in one small place at a time, and the tests that reach this place are run.
What is found is added to a log; `--write` makes the tables of the site from it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
import random
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

from tests.mutants import mutations
from tests.mutants.groups import GROUPS, ROOT
from tests.mutants.mutations import Mutant, mutants
from tests.mutants.report import explanations, read, write
from tests.mutants.running import (
    KILLED,
    QUICK,
    SURVIVED,
    UNFINISHED,
    Loop,
    SideBySide,
    forked,
    imported_anew,
    prepare,
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--group", action="append", choices=list(GROUPS), help="which; or all")
    parser.add_argument("--file", action="append", help="only files whose path has this in it")
    parser.add_argument("--share", type=float, default=1.0, help="of the mutants, drawn at random")
    parser.add_argument("--jobs", type=int, default=1, help="how many mutants run side by side")
    parser.add_argument(
        "--limit", type=float, default=60, help="seconds that the tests of a mutant may take"
    )
    parser.add_argument("--again", action="store_true", help="only what is open")
    parser.add_argument(
        "--in-place", action="store_true", help="leave out those that are imported anew"
    )
    parser.add_argument("--write", action="store_true", help="write the tables of the site")
    parser.add_argument("--only-write", action="store_true", help="from the log, as it is")
    parser.add_argument("--log", type=Path, default=ROOT / "out" / "mutants.jsonl")
    options = parser.parse_args()
    options.log.parent.mkdir(parents=True, exist_ok=True)
    prepare()
    if not options.only_write:
        for group in options.group or GROUPS:
            run(group, options)
    if options.write or options.only_write:
        unexplained = write(options.log)
        print(*unexplained, sep="\n")
        return bool(unexplained)
    return 0


def chosen(paths: Sequence[str], options: argparse.Namespace) -> list[Mutant]:
    known = read(options.log)
    every = []
    for path in paths:
        if any(part in path for part in options.file or [""]):
            every += made_before(path, options.log.parent)
    # whether a mutant is drawn depends on its own name alone
    drawn = [m for m in every if random.Random(m.name).random() < options.share]
    if options.again:
        left = {name for name, entry in known.items() if entry["result"] != KILLED}
        return [m for m in drawn if m.name in left - explanations().keys()]
    return [m for m in drawn if m.name not in known]


def made_before(path: str, folder: Path) -> list[Mutant]:
    """The mutants of a file; those of the same text are made once."""
    texts = [ROOT / path, Path(mutations.__file__)]
    name = hashlib.sha256(b"".join(text.read_bytes() for text in texts)).hexdigest()
    kept = folder / f"mutants-{name[:16]}.pickle"
    if not kept.exists():
        kept.write_bytes(pickle.dumps(list(mutants(path, ROOT))))
    made: list[Mutant] = pickle.loads(kept.read_bytes())
    return made


def run(group: str, options: argparse.Namespace) -> None:
    paths, tests = GROUPS[group]
    waiting = options.log.with_suffix(".waiting")

    def judged(mutant: Mutant, result: str, seconds: float) -> None:
        entry = {
            "group": group,
            "path": mutant.path,
            "name": mutant.name,
            "line": mutant.lines[0],
            "result": result,
            "seconds": round(seconds, 2),
        }
        with options.log.open("a", encoding="utf-8") as out:
            out.write(json.dumps(entry, ensure_ascii=False) + "\n")

    found = chosen(paths, options)
    print(f"{group}: {len(found)} mutants", flush=True)
    if not found:
        return

    forks = SideBySide(options.jobs)
    kept = options.log.with_name(f"{group.replace(' ', '-')}.json")

    def loop() -> int:
        plugin = Loop(ROOT, paths, found, judged, kept, forks, options.limit)
        status = pytest.main([*QUICK, *tests], plugins=[plugin])
        waiting.write_text(json.dumps([(found.index(m), *rest) for m, *rest in plugin.cold]))
        return int(status)

    if forked(loop) != 0:
        raise SystemExit(f"the tests of {group} could not be run; MUTANTS_LOUD=1 shows why")
    cold = [] if options.in_place else json.loads(waiting.read_text())
    waiting.unlink()
    print(f"{group}: {len(cold)} of them are imported anew", flush=True)

    def ended(mutant: Mutant, is_part: bool, start: float, status: int | None) -> None:
        survived = UNFINISHED if is_part else SURVIVED
        judged(mutant, KILLED if status != 0 else survived, time.monotonic() - start)

    for number, durations, is_part in cold:
        mutant = found[number]
        then = partial(ended, mutant, is_part, time.monotonic())
        forks.start(partial(imported_anew, mutant, durations, ROOT), then)
    forks.wait()


if __name__ == "__main__":
    raise SystemExit(main())
