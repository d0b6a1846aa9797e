"""One event's whole story, found in the topics and told as values."""
