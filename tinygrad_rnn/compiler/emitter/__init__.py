"""From the trace to a page of Python."""
