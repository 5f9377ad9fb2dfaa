"""Lowering: from a schedule to instructions and buffers."""
