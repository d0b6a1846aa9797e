"""Scorecards of any span, from the sums on their topic."""
