"""Numbers that others have published, found again: `python -m examples.published --text FILE`."""
