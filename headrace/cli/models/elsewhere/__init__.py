"""Models that were made elsewhere: added once, or followed where they are registered."""
