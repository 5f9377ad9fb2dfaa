"""The player: a page in which a forward and a backward pass can be played."""

from viz.player.animation import Animation, animate
from viz.player.play import Player, play

__all__ = ["Animation", "Player", "animate", "play"]
