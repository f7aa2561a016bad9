"""Judging: gates, the board, and what people see of it."""
