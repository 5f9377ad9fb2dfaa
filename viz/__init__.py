"""Pictures of what was recorded: computational graphs, unrolled through time."""

from viz.drawing import draw
from viz.figure import Figure
from viz.strategies import draw_truncations

__all__ = ["Figure", "draw", "draw_truncations"]
