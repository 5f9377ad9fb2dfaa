"""Lessons to run in order, and the demonstration; each ends in a number or a picture."""
