"""The tables of the site: how many mutants the tests noticed, and why nobody noticed the others."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.mutants.groups import GROUPS, ROOT
from tests.mutants.mutations import mutants
from tests.mutants.running import KILLED

EXPLAINED = Path(__file__).with_name("explained.toml")
PAGE = ROOT / "docs" / "explanation" / "mutants.md"


def read(log: Path) -> dict[str, dict[str, Any]]:
    """The last word on each mutant, by its name."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return {entry["name"]: entry for entry in map(json.loads, lines)}


def explanations() -> dict[str, str]:
    """By the name of a mutant, why no test can or need notice it."""
    tables = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))
    return {
        f"{path} {name}": reason for path, names in tables.items() for name, reason in names.items()
    }


def write(log: Path) -> list[str]:
    """Write the page from what the log knows of today's text; return what is unexplained."""
    found = {path: list(mutants(path, ROOT)) for paths, _ in GROUPS.values() for path in paths}
    known, reasons = read(log), explanations()
    rows, open_ones, explained = [], [], []
    totals: Counter[str] = Counter()
    for group, (paths, _) in GROUPS.items():
        sums: Counter[str] = Counter()
        for path in paths:
            count: Counter[str] = Counter()
            for mutant in found[path]:
                entry = known.get(mutant.name)
                count["all"] += 1
                count["tried"] += entry is not None
                if entry is None:
                    continue
                if entry["result"] == KILLED:
                    count["killed"] += 1
                elif mutant.name in reasons:
                    count["explained"] += 1
                    explained.append((path, mutant.function, mutant.change, reasons[mutant.name]))
                else:
                    open_ones.append(mutant.name)
            if count["all"]:
                rows.append(row(f"`{path.removeprefix('tinygrad_rnn/')}`", count))
            sums += count
        rows.append(row(f"**{group}**", sums))
        totals += sums
    rows.append(row("**all**", totals))
    PAGE.write_text(page(rows, explained), encoding="utf-8")
    return open_ones


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
