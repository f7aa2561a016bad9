"""Measurements against vectorbt on the same data in the same process: `make bench`."""
