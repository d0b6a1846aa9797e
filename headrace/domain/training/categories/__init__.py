"""Categories become numbers that a library can fit, and the graph makes the same of them."""
