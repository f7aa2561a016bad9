"""Statistics, walk-forward tournament, trials register and controls."""
