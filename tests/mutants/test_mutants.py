"""Mutants are made, run and told apart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray")

from tests.mutants.groups import GROUPS, ROOT
from tests.mutants.mutations import functions_of

PROGRAM = """
LIMIT = 10

def rises(x: int | None) -> bool:
    if x > LIMIT:
        raise ValueError("large")
    return [x + y for y in (1, 2)]

def adder(y):
    return lambda x: x + y * 1

add_two = adder(2)

def power(x, n=2):
    return x**n

def unused(x):
    return -x

entered = {}

def enter(name, value):
    entered[name] = [value]

enter("a", 1)
"""

TESTS = """
import program
from program import entered
import pytest

def test_it():
    assert program.rises(2) == [3, 4] and program.add_two(3) == 5 and entered == {"a": [1]}
    assert program.power(3) == 9
    with pytest.raises(ValueError):
        program.rises(12)
"""

RUN = """
import json, sys
from pathlib import Path
import pytest
from tests.mutants.mutations import mutants
from tests.mutants.running import QUICK, Loop, SideBySide, forked, imported_anew

root = Path(sys.argv[1])
sys.path.insert(0, str(root))
found = {}
judge = lambda mutant, result, seconds: found.update({mutant.change: result})
def loop():
    made = list(mutants("program.py", root))
    plugin = Loop(root, ["program.py"], made, judge, root / "kept.json", SideBySide(2), 60)
    status = pytest.main([*QUICK, "-c", str(root / "none.ini"), str(root)], plugins=[plugin])
    for mutant, times, is_part in plugin.cold:
        found[mutant.change] = {str(root / name): seconds for name, seconds in times.items()}
    (root / "found.json").write_text(json.dumps(found))
    return status
assert forked(loop) == 0
found = json.loads((root / "found.json").read_text())
for mutant in mutants("program.py", root):
    names = found[mutant.change]
    if isinstance(names, dict):
        names = {"-c": 0, str(root / "none.ini"): 0} | names
        status = forked(lambda: imported_anew(mutant, names, root))
        found[mutant.change] = "again survived" if status == 0 else "again killed"
print(json.dumps(found))
"""


def test_mutants_are_killed_by_the_tests_that_reach_them(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "test_program.py").write_text(TESTS)
    (tmp_path / "none.ini").write_text("[pytest]\n")
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    expected = {
        "if x > LIMIT: → if x >= LIMIT:": "survived",
        "if x > LIMIT: → if not x > LIMIT:": "killed",
        'raise ValueError("large") → pass': "killed",
        "return [x + y for y in (1, 2)] → return [x - y for y in (1, 2)]": "killed",
        "return lambda x: x + y * 1 → return lambda x: x - y * 1": "killed",
        "return lambda x: x + y * 1 → return lambda x: x + y / 1": "survived",
        "return -x → return x": "again survived",
        'enter("a", 1) → enter("a", 2)': "killed",
        "LIMIT = 10 → LIMIT = 11": "again survived",
        "LIMIT = 10 → LIMIT = 9": "again survived",
        "def power(x, n=2): → def power(x, n= 3):": "killed",
        "def power(x, n=2): → def power(x, n= 1):": "killed",
        "add_two = adder(2) → add_two = adder( 3)": "again killed",
    }
    assert {change: found.get(change) for change in expected} == expected
    assert not any("None" in change for change in found)  # annotations are left alone


def test_every_explanation_is_of_a_line_that_there_is() -> None:
    from tests.mutants.report import explanations, stands

    for name, reason in explanations().items():
        assert name.split(" ", 1)[0] in {path for paths, _ in GROUPS.values() for path in paths}
        assert stands(name) and reason.endswith("."), name


def test_the_function_around_a_line() -> None:
    assert functions_of("class A:\n    def f(self):\n        return 1\nx = 2\n") == {
        1: "A",
        2: "A.f",
        3: "A.f",
    }
