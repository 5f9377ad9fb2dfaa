"""From a schedule to instructions and buffers: each value has a place, each call an instruction."""
