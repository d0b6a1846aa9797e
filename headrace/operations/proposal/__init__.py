"""A pipeline file for a stream that headrace has never seen: proposed from its rows, with the evidence."""
