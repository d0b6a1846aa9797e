"""Turning a running pipeline into another: what changes, how far it is, and the switch."""
