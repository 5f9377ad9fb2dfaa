"""`scan`: the program that one would have written by hand, derived from the cell."""

from tinygrad_rnn.scan.propagation import Propagation
from tinygrad_rnn.scan.run import scan, scan_source
from tinygrad_rnn.scan.traced import TraceError

__all__ = ["Propagation", "TraceError", "scan", "scan_source"]
