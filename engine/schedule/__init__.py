"""When things are decided: walk-forward windows and the rows on which an account is re-based."""
