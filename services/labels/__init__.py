"""Joins what turned out to be true to predictions."""
