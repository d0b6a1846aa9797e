"""Expressions and aggregations as users write them."""
