"""Rewriting passes over the trace."""
