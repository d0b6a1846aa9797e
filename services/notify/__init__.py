"""Tells people of control events."""
