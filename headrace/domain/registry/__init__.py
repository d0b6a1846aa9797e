"""Models that a registry of others holds: where they are, what they say of themselves, and what it is told of them."""
