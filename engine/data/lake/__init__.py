"""The lake: series that only grow, with what was known when; data sets are named, frozen views of it."""
