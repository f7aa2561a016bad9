"""How the lake is filled: what providers say goes in once, what they say differently later goes beside it."""
