"""One process that has collected the tests, and a fork of it for each mutant.

In the fork the code of the mutated functions is exchanged, wherever they are held. Then the tests
run that reach the changed lines, quickest first, until one fails. Of what a module does when it is
imported, a call (such as a row of the table) is made again, and a constant is exchanged wherever
it is known by its name. For the rest the module is imported anew, which takes a process of its own.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import importlib.abc
import importlib.util
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, TypeAlias

import coverage
import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutants.mutations import Mutant

KILLED, SURVIVED, UNREACHED = "killed", "survived", "unreached"
NOT_EXCHANGED = 3
LONGEST = 2.0
"""Seconds, while it is watched, that a test may take to be asked."""

MEMORY = 6 << 30
"""Bytes of address space that a mutant may take."""

QUICK = ["-p", "no:cacheprovider", "-p", "no:xdist", "--tb=native", "--assert=plain", "-q"]


def forked(work: Callable[[], int], seconds: float) -> int | None:
    """What work returns in a fork of this process; None if it is ended from outside, as it is
    after so many seconds of computing, or sixty times as many of waiting (0: never)."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        status = 1
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            if not os.environ.get("MUTANTS_LOUD"):
                os.dup2(quiet, 2)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, seconds)
            signal.setitimer(signal.ITIMER_REAL, 60 * seconds)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, resource.RLIM_INFINITY))
            status = work()
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended) if os.WIFEXITED(ended) else None


# Exchanging code ---------------------------------------------------------------------------


def key(code: CodeType) -> tuple[Any, ...]:
    return code.co_filename, code.co_qualname, tuple(code.co_positions())


def exchanged(old: CodeType, new: CodeType) -> dict[tuple[Any, ...], CodeType] | None:
    """The code of functions that differs, by the key of the old one; None if what is run when the
    module is imported differs as well."""
    found: dict[tuple[Any, ...], CodeType] = {}

    def own(code: CodeType) -> tuple[Any, ...]:
        constants = [c for c in code.co_consts if not isinstance(c, CodeType)]
        return code.co_code, list(map(repr, constants)), code.co_names, code.co_varnames

    def inner(code: CodeType) -> list[CodeType]:
        return [c for c in code.co_consts if isinstance(c, CodeType)]

    def visit(a: CodeType, b: CodeType, is_function: bool) -> bool:
        """Whether they differ; False for the part that is run on import is required."""
        if len(inner(a)) != len(inner(b)):
            raise LookupError
        differs = own(a) != own(b)
        if differs and not is_function:
            raise LookupError
        for one, other in zip(inner(a), inner(b), strict=True):
            is_body = "__qualname__" in one.co_names and not one.co_flags & 2  # not a function
            differs |= visit(one, other, not is_body)
        if differs and is_function:
            found[key(a)] = b
        return differs

    try:
        visit(old, new, False)
    except LookupError:
        return None
    return found


def exchange(codes: dict[tuple[Any, ...], CodeType], functions: Sequence[FunctionType]) -> None:
    """Give the functions their new code; LookupError if there are none, or it does not fit."""
    found = [f for f in functions if key(f.__code__) in codes]
    if not found:
        raise LookupError
    for function in found:
        try:
            function.__code__ = codes[key(function.__code__)]
        except ValueError as problem:  # a closure of another size
            raise LookupError from problem


def is_renewable(statement: str) -> bool:
    """Whether a statement of a module can be run once more instead of the module: a call for its
    effect, or a constant."""
    body = ast.parse(statement).body
    if len(body) != 1:
        return False
    if isinstance(body[0], ast.Expr):
        return isinstance(body[0].value, ast.Call)
    if not isinstance(body[0], ast.Assign | ast.AnnAssign) or body[0].value is None:
        return False
    return not any(isinstance(node, ast.Call | ast.Lambda) for node in ast.walk(body[0].value))


def renew(statement: str, module: Any) -> None:
    """Run a statement again, and give what it defines to those who have imported it."""
    before = dict(vars(module))
    exec(statement, vars(module))
    for other in list(sys.modules.values()):
        held = getattr(other, "__dict__", {})
        for name, value in vars(module).items():
            if name in before and value is not before[name] and held.get(name) is before[name]:
                held[name] = value


def functions_in(files: Iterable[str]) -> list[FunctionType]:
    files = set(files)
    return [
        f for f in gc.get_objects() if type(f) is FunctionType and f.__code__.co_filename in files
    ]


class Changed(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Imports one file as the mutant has it."""

    def __init__(self, mutant: Mutant, root: Path) -> None:
        self.mutant, self.file = mutant, str(root / mutant.path)
        self.name = mutant.module

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        return (
            importlib.util.spec_from_file_location(name, self.file, loader=self)
            if (name == self.name)
            else None
        )

    def get_filename(self, name: str) -> str:
        return self.file

    def get_data(self, path: str | bytes) -> bytes:
        return self.mutant.source.encode()

    def path_stats(self, path: str | bytes) -> Any:
        raise OSError  # nothing is kept


# Running tests -----------------------------------------------------------------------------


Reach: TypeAlias = dict[tuple[str, int], set[str]]


class Loop:
    """The pytest plugin that runs mutants instead of tests.

    files: those that are mutated. judged: called with each mutant and what became of it. kept: a
    file for what is measured.
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[str],
        mutants: Sequence[Mutant],
        judged: Callable[[Mutant, str, float], None],
        kept: Path,
    ) -> None:
        self.root, self.files, self.mutants = root, files, mutants
        self.judged, self.kept = judged, kept
        self.cold: list[tuple[Mutant, list[str]]] = []
        self.durations: dict[str, float] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("the tests could not be collected")
        gc.collect()
        gc.freeze()
        files = self.files
        reached = self.reaching(session, files)
        by_name = {item.nodeid: item for item in session.items}
        texts = {path: (self.root / path).read_text(encoding="utf-8") for path in files}
        codes = {
            p: compile(t, str(self.root / p), "exec", dont_inherit=True) for p, t in texts.items()
        }
        gc.unfreeze()
        functions = functions_in(str(self.root / path) for path in files)
        gc.freeze()
        for mutant in self.mutants:
            new = compile(mutant.source, str(self.root / mutant.path), "exec", dont_inherit=True)
            swapped = exchanged(codes[mutant.path], new)
            lines = range(mutant.lines[0], mutant.lines[1] + 1)
            tests = {t for line in lines for t in reached.get((mutant.path, line), ())}
            renewable = swapped is None and is_renewable(mutant.statement)
            if swapped is None:
                tests = tests or {
                    t for (path, _), ts in reached.items() if path == mutant.path for t in ts
                }
                if not renewable:
                    self.cold.append((mutant, self.ordered(tests)))
                    continue
            if not tests:
                self.judged(mutant, UNREACHED, 0)
                continue
            names = self.ordered(tests)
            items = [by_name[name] for name in names]
            start = time.monotonic()
            change = (
                partial(renew, mutant.statement, sys.modules[mutant.module])
                if swapped is None
                else partial(exchange, swapped, functions)
            )
            status = forked(
                partial(self.child, session, items, change),
                5 + 10 * sum(self.durations[name] for name in names),
            )
            if status == NOT_EXCHANGED:
                self.cold.append((mutant, names))
                continue
            self.judged(mutant, SURVIVED if status == 0 else KILLED, time.monotonic() - start)
        return True

    def ordered(self, tests: Iterable[str]) -> list[str]:
        return sorted(tests, key=lambda name: (self.durations[name], name))

    def child(self, session: Any, items: Any, change: Callable[[], None]) -> int:
        try:
            change()
        except LookupError:
            return NOT_EXCHANGED
        except Exception:  # it could not even be imported
            return 1
        for item, after in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if session.testsfailed:
                return 1
        return 0

    def reaching(self, session: pytest.Session, files: Iterable[str]) -> Reach:
        """By file and line, the tests that run it. How long each takes is noted as well; what was
        measured before for the same text of the file is taken as it is."""
        known = json.loads(self.kept.read_text()) if self.kept.exists() else {}
        texts = {f: hashlib.sha256((self.root / f).read_bytes()).hexdigest() for f in sorted(files)}
        if known.get("texts") != texts:
            known = {"texts": texts, "durations": {}, "reached": []}
        items = [item for item in session.items if item.nodeid not in known["durations"]]
        if items:
            measured = self.kept.with_suffix(".new")
            if forked(partial(self.measure, session, items, list(texts), measured), 0) != 0:
                raise session.Interrupted("the tests could not be measured")
            new = json.loads(measured.read_text())
            measured.unlink()
            known["durations"] |= new["durations"]
            known["reached"] += new["reached"]
            self.kept.write_text(json.dumps(known))
        there = {item.nodeid for item in session.items}
        times = known["durations"].items()
        self.durations = {t: s for t, s in times if s is not None and s < LONGEST}
        found: Reach = {}
        for file, line, tests in known["reached"]:
            found.setdefault((file, line), set()).update(there & self.durations.keys() & set(tests))
        return found

    def measure(self, session: Any, items: Any, files: Sequence[str], out: Path) -> int:
        data = str(out.with_suffix(".coverage"))
        places = [str(self.root / file) for file in files]
        watch = coverage.Coverage(data_file=data, include=places, config_file=False)
        durations: dict[str, float | None] = {}
        watch.start()
        for item, after in zip(items, [*items[1:], None], strict=True):
            watch.switch_context(item.nodeid)
            start, failed = time.process_time(), session.testsfailed
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            fails = session.testsfailed > failed  # such a test could not tell anything
            durations[item.nodeid] = None if fails else time.process_time() - start
        watch.stop()
        found = watch.get_data()
        reached = [
            (file, line, sorted(c for c in contexts if c))
            for file, place in zip(files, places, strict=True)
            for line, contexts in found.contexts_by_lineno(place).items()
        ]
        out.write_text(json.dumps({"durations": durations, "reached": reached}))
        return 0


def prepare() -> None:
    """Properties look for a counterexample, and not for a small one; every time for the same."""
    settings.register_profile(
        "mutants",
        phases=[Phase.explicit, Phase.generate],
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutants")


def run_cold(mutant: Mutant, names: Sequence[str], root: Path, seconds: float) -> str:
    """A mutant whose module must be imported anew."""

    def work() -> int:
        sys.meta_path.insert(0, Changed(mutant, root))
        return int(pytest.main([*QUICK, "-x", *names]))

    return SURVIVED if forked(work, seconds) == 0 else KILLED
