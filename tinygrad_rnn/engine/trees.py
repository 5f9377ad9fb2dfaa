"""Nestings of lists, tuples and dicts with arrays as leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

Tree: TypeAlias = Any
"""An array, or a list, tuple or dict of trees."""

NESTINGS = (dict, list, tuple)


def flatten(tree: Tree) -> list[Any]:
    """The arrays in a nesting of lists, tuples and dicts, in order; None is skipped."""
    if not isinstance(tree, NESTINGS):
        return [] if tree is None else [tree]
    branches = tree.values() if isinstance(tree, dict) else tree
    return [leaf for branch in branches for leaf in flatten(branch)]


def unflatten(tree: Tree, values: Iterator[Any]) -> Tree:
    """The same nesting, with the arrays replaced by the values, in order."""
    if not isinstance(tree, NESTINGS):
        return None if tree is None else next(values)
    if isinstance(tree, dict):
        return {key: unflatten(branch, values) for key, branch in tree.items()}
    branches = [unflatten(branch, values) for branch in tree]
    return type(tree)(*branches) if hasattr(tree, "_fields") else type(tree)(branches)


def flatten_like(pattern: Tree, tree: Tree) -> list[Any]:
    """The arrays of a nesting in the order of another one; ValueError if the structures differ."""
    if isinstance(pattern, dict) and isinstance(tree, dict) and pattern.keys() == tree.keys():
        pairs = [(branch, tree[key]) for key, branch in pattern.items()]
    elif isinstance(pattern, (list, tuple)) and isinstance(tree, (list, tuple)):
        pairs = list(zip(pattern, tree, strict=True))
    elif isinstance(tree, NESTINGS) or isinstance(pattern, NESTINGS):
        raise ValueError("they are nested in different ways")
    else:
        return flatten(tree)
    return [leaf for first, other in pairs for leaf in flatten_like(first, other)]
