"""The one composition of bars, features, targets and the core."""
