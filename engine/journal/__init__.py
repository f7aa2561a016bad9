"""The append-only, hash-chained journal: the authority on what a session knew, decided and did."""
