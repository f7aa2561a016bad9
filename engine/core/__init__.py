"""The compiled verbs: size, limit, fill, book. The same functions decide in backtest, paper and live."""
