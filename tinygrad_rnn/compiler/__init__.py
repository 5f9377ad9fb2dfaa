"""The compiler behind `scan`: it turns a cell into one program for all steps, forward and
backward."""
