"""Pictures of what was recorded: computational graphs, unrolled through time."""

from viz.drawing import draw
from viz.figure import Figure

__all__ = ["Figure", "draw"]
