"""Judges a package by recent outcomes: figures of it and of the champion on the same events, for gates."""
