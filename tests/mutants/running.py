"""One process that has collected the tests, and a fork of it for each mutant.

In the fork the code of the mutated functions and their defaults are exchanged, wherever they are
held. Then the tests run that reach the changed lines, until one fails: first those that noticed
other mutants of the function, then the quickest. Of what a module does when it is imported, a call
(such as a row of the table) is made again, and a constant is exchanged wherever it is known by its
name. What no test notices then, and the rest, is imported anew, in a process of its own.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import importlib.abc
import importlib.util
import json
import mmap
import os
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, TypeAlias

import coverage
import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutants.mutations import Mutant

KILLED, SURVIVED, UNFINISHED = "killed", "survived", "unfinished"
NOT_EXCHANGED = 3
LONGEST = 2.0
"""Seconds, while it is watched, that a test may take to be asked."""

LONG = 1000
"""Bytes of the name of a test."""

MEMORY = 6 << 30
"""Bytes of address space that a mutant may take."""

QUICK = ["-p", "no:cacheprovider", "-p", "no:xdist", "--tb=native", "--assert=plain", "-q"]


def limit(seconds: float) -> None:
    """End this process after so many seconds of computing, or 300 times as many of waiting."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 300 * seconds)


def begun(work: Callable[[], int]) -> int:
    """Begin work in a fork of this process."""
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
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, resource.RLIM_INFINITY))
            status = work()
        finally:
            os._exit(status)
    return child


def forked(work: Callable[[], int]) -> int | None:
    """What work returns in a fork of this process; None if it is ended from outside."""
    return code_of(os.waitpid(begun(work), 0)[1])


def code_of(status: int) -> int | None:
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else None


class SideBySide:
    """Forks of this process, so many at a time. What each returns is passed on to a call."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.running: dict[int, Callable[[int | None], None]] = {}

    def start(self, work: Callable[[], int], then: Callable[[int | None], None]) -> None:
        self.wait(self.jobs - 1)
        self.running[begun(work)] = then

    def wait(self, left: int = 0) -> None:
        """Until no more than so many are running."""
        while len(self.running) > left:
            child, status = os.wait()
            self.running.pop(child)(code_of(status))


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


def exchange_defaults(statement: str, functions: Sequence[FunctionType], module: Any) -> None:
    """Give a function the defaults that its changed definition has; LookupError if it is more than
    a function of the module that has no decorators."""
    tree = ast.parse(statement).body[0]
    if not isinstance(tree, ast.FunctionDef) or tree.decorator_list:
        raise LookupError
    made: dict[str, Any] = {}
    exec(statement, dict(vars(module)), made)
    new = made[tree.name]
    old = [
        f
        for f in functions
        if f.__module__ == module.__name__
        and (f.__code__.co_qualname, f.__code__.co_code)
        == (new.__code__.co_qualname, new.__code__.co_code)
    ]
    if not old:
        raise LookupError
    for function in old:
        function.__defaults__, function.__kwdefaults__ = new.__defaults__, new.__kwdefaults__


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


def names_a_row(mutant: Mutant, test: str) -> bool:
    """Whether a test is called after a NumPy function that the changed line names."""
    rows = re.findall(r"np\.(?:linalg\.|fft\.|emath\.)?([\w.]+)", mutant.change)
    return any(f"[{row}{end}" in test for row in rows for end in ("-", "]"))


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
        forks: SideBySide,
        limit: float,
    ) -> None:
        self.root, self.files, self.mutants = root, files, mutants
        self.judged, self.kept, self.forks, self.limit = judged, kept, forks, limit
        self.cold: list[tuple[Mutant, dict[str, float], bool]] = []
        """What is to be imported anew: each with its tests, how long they take, and whether there
        are others that take too long."""
        self.durations: dict[str, float] = {}
        self.killers: dict[tuple[str, str], Counter[str]] = {}

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
            reaching = {t for line in lines for t in reached.get((mutant.path, line), ())}
            everyone = {t for (path, _), ts in reached.items() if path == mutant.path for t in ts}
            everyone |= {test for test in self.durations if names_a_row(mutant, test)}
            names, rest = self.asked(mutant, reaching or everyone)
            times = {name: self.durations[name] for name in names}
            module = sys.modules[mutant.module]
            if swapped is not None and not reaching:  # run on import, or never
                self.cold.append((mutant, times, bool(rest)))
                continue
            if swapped is not None:
                change = partial(exchange, swapped, functions)
            elif is_renewable(mutant.statement):
                change = partial(renew, mutant.statement, module)
            else:
                change = partial(exchange_defaults, mutant.statement, functions, module)
            asking = mmap.mmap(-1, LONG)  # the name of the test that runs in the fork
            waits = mutant, times, bool(rest)
            then = partial(self.ended, waits, swapped is not None, asking, time.monotonic())
            items = [by_name[name] for name in names]
            self.forks.start(partial(self.child, session, items, change, asking), then)
        self.forks.wait()
        return True

    def ended(
        self,
        waits: tuple[Mutant, dict[str, float], bool],
        is_sure: bool,
        asking: mmap.mmap,
        start: float,
        status: int | None,
    ) -> None:
        """Judge a mutant by what its fork returned."""
        mutant, _, is_part = waits
        if status == NOT_EXCHANGED or (status == 0 and not is_sure):
            self.cold.append(waits)
            return
        if status != 0:
            counts = self.killers.setdefault((mutant.path, mutant.function), Counter())
            counts[asking[:].rstrip(b"\0").decode()] += 1
        result = KILLED if status != 0 else UNFINISHED if is_part else SURVIVED
        self.judged(mutant, result, time.monotonic() - start)

    def asked(self, mutant: Mutant, tests: Iterable[str]) -> tuple[list[str], list[str]]:
        """The tests that are asked about a mutant, in their order, and those that take too long."""
        killers = self.killers.get((mutant.path, mutant.function), {})

        def order(name: str) -> tuple[Any, ...]:
            is_row = names_a_row(mutant, name)
            return -killers.get(name, 0), not is_row, self.durations[name], name

        names, total = sorted(tests, key=order), 0.0
        for place, name in enumerate(names):
            total += self.durations[name]
            if total > self.limit:
                return names[:place], names[place:]
        return names, []

    def child(self, session: Any, items: Any, change: Callable[[], None], asking: Any) -> int:
        try:
            change()
        except LookupError:
            return NOT_EXCHANGED
        except Exception:  # it could not even be imported
            return 1
        for item, after in zip(items, [*items[1:], None], strict=True):
            asking[:] = item.nodeid.encode()[:LONG].ljust(LONG, b"\0")
            limit(2 + 10 * self.durations[item.nodeid])
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
            if forked(partial(self.measure, session, items, list(texts), measured)) != 0:
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
        watch.set_option("run:disable_warnings", ["no-data-collected"])  # of new tests, perhaps
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


class Limits:
    """The pytest plugin that ends the process if a test takes far longer than it did."""

    def __init__(self, durations: dict[str, float]) -> None:
        self.durations = durations

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        limit(2 + 10 * self.durations.get(item.nodeid, LONGEST))


def imported_anew(mutant: Mutant, durations: dict[str, float], root: Path) -> int:
    """Run the tests with a mutant whose module is imported anew; 0 if none notices it.

    durations: the tests, and how long they take."""
    limit(60)
    sys.meta_path.insert(0, Changed(mutant, root))
    return int(pytest.main([*QUICK, "-x", *durations], plugins=[Limits(durations)]))
