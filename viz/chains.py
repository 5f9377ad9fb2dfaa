"""Chains of states: the roles that feed themselves through time, with the roles in between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from viz.diagram import Diagram


def recurrent(diagram: Diagram) -> dict[str, int]:
    """The number of the chain, for every role on a cycle of roles. Chains are the strongly
    connected components of the roles (Kosaraju's algorithm)."""
    if diagram.rows == 1:
        return {}
    ahead: dict[str, dict[str, None]] = defaultdict(dict)
    back: dict[str, dict[str, None]] = defaultdict(dict)
    for link in diagram.links:
        source, target = diagram.shapes[link.source], diagram.shapes[link.target]
        if source.rows is not None and target.rows is not None:
            ahead[source.role][target.role] = None
            back[target.role][source.role] = None
    known: set[str] = set()
    order = [role for begin in list(ahead) for role in _finished(begin, ahead, known)]
    known = set()
    chains: dict[str, int] = {}
    for begin in reversed(order):
        chain = list(_finished(begin, back, known))
        if len(chain) > 1:
            chains |= dict.fromkeys(chain, len(chains))
    return chains


def _finished(begin: str, after: Mapping[str, dict[str, None]], known: set[str]) -> Iterator[str]:
    """The roles that are reachable and not yet known, each after the roles behind it."""
    if begin in known:
        return
    known.add(begin)
    open_ = [(begin, iter(after.get(begin, ())))]
    while open_:
        role, rest = open_[-1]
        following = next((other for other in rest if other not in known), None)
        if following is None:
            open_.pop()
            yield role
        else:
            known.add(following)
            open_.append((following, iter(after.get(following, ()))))
