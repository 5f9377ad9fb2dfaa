"""The house: which way imports go, and which names are public."""

import ast
import importlib
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import analysis

ROOT = Path(tg.__file__).parent
PACKAGE = ROOT.name

FOLDERS = ("support", "engine", "derivatives", "recurrent", "compiler", "training", "analysis")
ALLOWED = {
    "__main__": {*FOLDERS},
    "support": set(),
    "engine": {"support"},
    "derivatives": {"support", "engine"},
    "recurrent": {"support", "engine", "derivatives"},
    "compiler": {"support", "engine", "derivatives", "recurrent"},
    "training": {"support", "engine", "derivatives", "recurrent", "compiler"},
    "analysis": {"support", "engine", "derivatives", "recurrent", "compiler", "training"},
}
"""What the files of a folder may import from, beside the folder itself. Imports run downwards."""


def modules():
    names = {}
    for path in ROOT.rglob("*.py"):
        parts = (PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = modules()


def imports(module):
    """The modules of this package that a module imports, anywhere in its text; except what only
    a type checker reads in an `__init__`, whose names are loaded on demand."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    is_package = MODULES[module].name == "__init__.py"
    for node in ast.walk(tree):
        if is_package and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body.clear()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports say the whole name"
            if (node.module or "").split(".")[0] == PACKAGE:
                for name in node.names:
                    inner = f"{node.module}.{name.name}"
                    found.add(inner if inner in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.split(".")[0] == PACKAGE}
            assert not any(a.name.split(".")[0] == "viz" for a in node.names)
    return found


IMPORTS = {module: imports(module) for module in MODULES}


def folder(module):
    return module.split(".")[1] if "." in module else ""


def test_the_folders():
    others = ("__init__.py", "py.typed", "__pycache__")
    entries = {path.stem for path in ROOT.iterdir() if path.name not in others}
    assert entries == set(ALLOWED) and len(entries) <= 8


def test_imports_run_downwards():
    for module, found in IMPORTS.items():
        if module == f"{PACKAGE}.__main__":  # the command stands above the package
            found = found - {PACKAGE}
        for other in found:
            assert other != PACKAGE, f"{module} imports the package, which is above it"
            if folder(module) not in ("", folder(other)):
                assert folder(other) in ALLOWED[folder(module)], f"{module} imports {other}"


def test_no_files_import_each_other():
    """Importing a module runs its packages' `__init__` first, which counts, too."""
    graph = {}
    for module, found in IMPORTS.items():
        graph[module] = {other for other in found if other != module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        pytest.fail(" imports ".join(reversed(cycle.args[1])))


def test_nothing_imports_the_pictures():
    for module, path in MODULES.items():
        assert "import viz" not in (text := path.read_text(encoding="utf-8")), module
        assert "from viz" not in text, module


def test_every_file_of_the_compiler_has_tests_of_its_own():
    """Those of machine code stand beside each other; a name occurs in both parts."""
    tests = {
        (path.parent.name == "native", path.name)
        for path in (Path(__file__).parent / "compiler").rglob("test_*.py")
    }
    for path in (ROOT / "compiler").rglob("*.py"):
        key = path.parent.name == "native", f"test_{path.name}"
        if path.stem != "__init__":
            assert key in tests, f"{path.relative_to(ROOT)} has no tests"


def test_dir_lists_the_public_names():
    for package in (tg, analysis):
        assert dir(package) == sorted(package.__all__) and package.__all__
        for name in package.__all__:
            value = getattr(package, name)
            assert value is not None and not name.startswith("_")
            assert value is getattr(package, name)  # the second time without loading
        with pytest.raises(AttributeError, match=r"has no attribute 'tensor_of'"):
            _ = package.tensor_of
        with pytest.raises(AttributeError, match=r"has no attribute '_tensor'$"):
            _ = package._tensor


def test_type_checkers_see_the_same_names():
    for package in (tg, analysis):
        tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
        (block,) = (node for node in tree.body if isinstance(node, ast.If))
        seen = {}
        for node in block.body:
            for name in node.names:
                assert name.asname == name.name  # a re-export
                seen[name.name] = node.module
        assert seen.keys() == set(package.__all__)
        for name, home in seen.items():
            module = importlib.import_module(home)
            submodule = sys.modules.get(f"{home}.{name}")
            assert getattr(package, name) is (submodule or getattr(module, name)), name


def test_no_public_function_hides_a_module():
    for name in MODULES:
        module = importlib.import_module(name)
        parent, _, last = name.rpartition(".")
        if parent:
            assert getattr(sys.modules[parent], last) is module, f"{name} is hidden"


def test_what_is_imported_at_first():
    """The engine and the table; the rest, and what only the rest needs, when it is asked for."""
    code = (
        "import sys; before = set(sys.modules); import numpy; numpys = set(sys.modules); "
        "import tinygrad_rnn as tg; "
        "loaded = {m.split('.')[1] for m in sys.modules if m.startswith('tinygrad_rnn.')}; "
        "assert loaded == {'support', 'engine', 'derivatives'}, loaded; "
        "heavy = {'numpy.f2py', 'numpy.testing', 'numpy.random', 'matplotlib', 'safetensors'}; "
        "assert not heavy & (set(sys.modules) - numpys); "
        "tg.RNNCell, tg.scan, tg.Adam, tg.analysis.report; "
        "assert not {'numpy.f2py', 'matplotlib'} & (set(sys.modules) - numpys)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)


def test_issue_forms_have_the_keys_that_github_knows():
    """A comma in an unquoted text made a key of its second half."""
    yaml = pytest.importorskip("yaml")
    forms = sorted((ROOT.parent / ".github/ISSUE_TEMPLATE").glob("*.yml"))
    assert forms
    for form in forms:
        for part in yaml.safe_load(form.read_text(encoding="utf-8"))["body"]:
            assert part["attributes"].keys() <= {"label", "description", "placeholder", "render"}
