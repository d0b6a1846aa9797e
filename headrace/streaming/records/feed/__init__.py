"""Records as their producers write them, read as the columns that a pipeline speaks of."""
