"""Who gives prices, what for, and how each is asked. No answer is better than a wrong one."""
