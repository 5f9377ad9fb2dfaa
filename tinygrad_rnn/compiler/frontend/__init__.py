"""From a cell to a trace of one step."""
