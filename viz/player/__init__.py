"""The player: a page that plays a forward and a backward pass."""
