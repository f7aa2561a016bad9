"""Gauntlet's engine: the one path from bars to booked fills, and what feeds and operates it."""

__version__ = "0.1.0"
