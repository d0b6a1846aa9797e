"""Kafka: the one door to its client, and what is built on it alone."""
