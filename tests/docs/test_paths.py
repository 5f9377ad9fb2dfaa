"""The files that the pages name are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("examples/*.md"))
    if "_build" not in page.parts and page.name != "CHANGELOG.md"
]
# Where a path in a page may begin.
PLACES = (ROOT, ROOT / "tinygrad_rnn", ROOT / "tinygrad_rnn/compiler")
FOLDERS = {path.name for place in PLACES for path in place.iterdir() if path.is_dir()}


def named(page):
    """The paths of the project that a page names: `recurrent/cells.py`, `compiler/passes/`."""
    for path in re.findall(r"`([\w./]+/(?:[\w.]+\.(?:py|md|svg))?)`", page.read_text()):
        if path.split("/")[0] in FOLDERS:
            yield path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_exist(page):
    assert not [path for path in named(page) if not any((p / path).exists() for p in PLACES)]


def test_paths_are_found_in_the_pages():
    assert "engine/graph.py" in named(ROOT / "docs/explanation/architecture.md")


def test_files_that_the_walks_name_are_there():
    walks = (ROOT / "docs/explanation/architecture.md").read_text()
    there = {
        path.name for package in ("tinygrad_rnn", "viz") for path in (ROOT / package).rglob("*.py")
    }
    assert not set(re.findall(r"`(\w+\.py)`", walks)) - there
