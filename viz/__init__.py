"""Pictures of the recorded tape: computational graphs, unrolled through time."""

from viz.drawing import draw
from viz.figure import Figure
from viz.player.animation import Animation, animate
from viz.player.play import Player, play
from viz.strategies import draw_truncations

__all__ = ["Animation", "Figure", "Player", "animate", "draw", "draw_truncations", "play"]
