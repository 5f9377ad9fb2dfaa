"""Nestings of lists, tuples and dicts with arrays as leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

Tree: TypeAlias = Any
"""An array, or a list, tuple or dict of trees."""


def flatten(tree: Tree) -> list[Any]:
    """The arrays in a nesting of lists, tuples and dicts, in order; None is skipped."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [leaf for branch in tree.values() for leaf in flatten(branch)]
    if isinstance(tree, (list, tuple)):
        return [leaf for branch in tree for leaf in flatten(branch)]
    return [tree]


def unflatten(tree: Tree, values: Iterator[Any]) -> Tree:
    """The same nesting, with the arrays replaced by the values, in order."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {key: unflatten(branch, values) for key, branch in tree.items()}
    if isinstance(tree, (list, tuple)):
        branches = [unflatten(branch, values) for branch in tree]
        return type(tree)(*branches) if hasattr(tree, "_fields") else type(tree)(branches)
    return next(values)


def flatten_like(pattern: Tree, tree: Tree) -> list[Any]:
    """The arrays of a nesting in the order of another one; ValueError if the structures differ."""
    if isinstance(pattern, dict) and isinstance(tree, dict) and pattern.keys() == tree.keys():
        pairs = [(branch, tree[key]) for key, branch in pattern.items()]
    elif isinstance(pattern, (list, tuple)) and isinstance(tree, (list, tuple)):
        pairs = list(zip(pattern, tree, strict=True))
    elif isinstance(tree, (dict, list, tuple)) or isinstance(pattern, (dict, list, tuple)):
        raise ValueError("they are nested in different ways")
    else:
        return flatten(tree)
    return [leaf for first, other in pairs for leaf in flatten_like(first, other)]
