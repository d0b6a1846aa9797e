"""Scores the same events in the dark: challengers and shadows, never published."""
