"""Tumbling windows of scored events, and the cards that are made of them."""
