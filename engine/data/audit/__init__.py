"""What is wrong with bars, how much of it there is, and whether they may be used."""
