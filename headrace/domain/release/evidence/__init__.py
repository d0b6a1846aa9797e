"""Evidence of releases as a fold of outcomes: rows of all partitions in one order, pairs of them, what they say."""
