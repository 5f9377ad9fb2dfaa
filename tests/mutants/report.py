"""The tables of the site: how many mutants the tests noticed, and why nobody noticed the others."""

from __future__ import annotations

import functools
import json
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.mutants.groups import GROUPS, ROOT
from tests.mutants.mutations import mutants
from tests.mutants.running import KILLED, UNFINISHED

EXPLAINED = Path(__file__).with_name("explained.toml")
PAGE = ROOT / "docs" / "explanation" / "mutants.md"


def read(log: Path) -> dict[str, dict[str, Any]]:
    """The last word on each mutant, by its name."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    entries = map(json.loads, lines)
    return {entry["name"]: entry for entry in entries if "name" in entry}


def explanations() -> dict[str, str]:
    """By the name of a mutant, why no test can or need notice it."""
    tables = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))
    return {
        f"{path} {name}": reason for path, names in tables.items() for name, reason in names.items()
    }


def write(log: Path) -> list[str]:
    """Write the page from what the log knows of lines that stand today; return what is open.

    The page has the number of open mutants, and the command prints the list."""
    known, reasons = read(log), explanations()
    rows, open_ones, explained = [], [], []
    totals: Counter[str] = Counter()
    for group, (paths, _) in GROUPS.items():
        sums: Counter[str] = Counter()
        for path in paths:
            names = {mutant.name for mutant in mutants(path, ROOT)}
            count = Counter({"all": len(names)})
            for entry in known.values():
                if entry["name"] not in names:
                    continue
                count["tried"] += 1
                _, function, change = parts(entry["name"])
                if entry["result"] == KILLED:
                    count["killed"] += 1
                elif entry["name"] in reasons:
                    count["explained"] += 1
                    explained.append((path, function, change, reasons[entry["name"]]))
                else:
                    open_ones.append(entry["name"])
            if count["all"]:
                rows.append(row(f"`{path.removeprefix('tinygrad_rnn/')}`", count))
            sums += count
        rows.append(row(f"**{group}**", sums))
        totals += sums
    rows.append(row("**all**", totals))
    PAGE.write_text(page(rows, explained), encoding="utf-8")
    return [
        name + " (not all tests were asked)" * (known[name]["result"] == UNFINISHED)
        for name in open_ones
    ]


def parts(name: str) -> tuple[str, str, str]:
    """Of a mutant's name: the path, the function, and the change."""
    path, rest = name.split(" ", 1)
    function, change = rest.split(": ", 1)
    return path, function, change


@functools.cache
def text_of(path: str) -> str:
    return " ".join((ROOT / path).read_text(encoding="utf-8").split())


def stands(name: str) -> bool:
    """Whether the line that is changed is still in the file."""
    path, _, change = parts(name)
    return (ROOT / path).exists() and change.split(" → ")[0].strip() in text_of(path)


def row(name: str, count: Counter[str]) -> str:
    score = f"{100 * count['killed'] / count['tried']:.1f} %" if count["tried"] else ""
    left = count["tried"] - count["killed"]
    return (
        f"| {name} | {count['all']} | {count['tried']} | {count['killed']} | {score} "
        f"| {count['explained']} | {left - count['explained']} |"
    )


def page(rows: Iterable[str], explained: Iterable[tuple[str, str, str, str]]) -> str:
    text = [
        "| file | mutants | tried | noticed | score | explained | open |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *rows,
        "",
        "The mutants that no test notices, and why:",
        "",
    ]
    last = ""
    for path, function, change, reason in explained:
        if path != last:
            text += [*([""] if last else []), f"`{path}`", ""]
            last = path
        old, new = change.split(" → ")
        text.append(f"- {function or 'the module'}: {code(old)} → {code(new)}. {reason}")
    return "\n".join(text) + "\n"


def code(text: str) -> str:
    return f"`` {text} ``"
