"""The console script `engine`: sees everything, decides nothing."""
