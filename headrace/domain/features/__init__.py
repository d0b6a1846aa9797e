"""Sliding event-time windows over the entries of entities, and what is computed from them."""
