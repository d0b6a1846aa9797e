"""Two models on the same events: who is better, and how sure that is."""
