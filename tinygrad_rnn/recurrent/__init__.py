"""Recurrent networks through time: cells, states, unrolling and truncation."""
