"""Turns features into predictions."""
