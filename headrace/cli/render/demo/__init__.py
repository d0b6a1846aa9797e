"""The demo on a terminal."""
