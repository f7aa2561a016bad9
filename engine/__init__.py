"""Gauntlet's engine: the one path from bars to booked fills, and what feeds and operates it."""
