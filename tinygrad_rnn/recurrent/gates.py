"""Names for the blocks of a cell's weights: the gates of an LSTM are blocks of columns in W_hh.

Pictures and formulas use the names. They are stored per parameter node, so recording a step costs
no extra time.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from tinygrad_rnn.engine.graph import Node
from tinygrad_rnn.engine.tensor import Tensor

_blocks: WeakKeyDictionary[Node, tuple[str, ...]] = WeakKeyDictionary()


def name_blocks(parameter: Tensor, names: tuple[str, ...]) -> None:
    """Name the blocks of equal width of a parameter's last axis, in their order."""
    _blocks[parameter.node] = names


def block_names(node: Node) -> tuple[str, ...] | None:
    """The names of the blocks of a value's last axis; None if they have no names.

    A sum or a product takes the names from the parameter among its arguments.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from tinygrad_rnn.recurrent.gates import block_names
    >>> cell = tg.LSTMCell(3, 4, rng=0)
    >>> block_names(cell.project(np.ones((2, 3))).node)
    ('i', 'f', 'g', 'o')
    """
    waiting, seen = [node], 0
    while waiting and seen < FAR:
        node = waiting.pop(0)
        seen += 1
        if node in _blocks:
            return _blocks[node]
        if node.name is None:
            waiting += node.parents
    return None


FAR = 12  # nodes looked at: x W_xh + b_h + h W_hh has six
