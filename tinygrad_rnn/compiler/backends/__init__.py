"""Back ends: each makes the two functions of a `Program`, `forward` and `backward`."""
