"""The player: a page in which a forward and a backward pass can be played."""
