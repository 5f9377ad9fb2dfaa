"""Back ends: a program in another form than NumPy source."""
