"""The compiler behind `scan`: from a cell to one program for all steps, forward and back."""
