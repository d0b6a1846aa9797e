"""Starts the real parts (Kafka, Redis, a schema registry) for development and tests."""
