"""Turns events into features."""
