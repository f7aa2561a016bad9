"""Strategies that cheat on purpose: the checks must catch them, or the checks are broken."""
