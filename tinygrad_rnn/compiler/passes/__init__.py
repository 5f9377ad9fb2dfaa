"""The rewriting passes: functions from step graph to step graph."""
