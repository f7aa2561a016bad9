"""Scans: from all that a data set has to the few instruments that are worth a closer look."""
