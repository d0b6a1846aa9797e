"""The whole system at work on this machine."""
