"""Which instruments enter a window, judged on its training rows only."""
