"""The whole of it in a minute: record, draw, check, train, sample, plot."""
