"""Streaming: knows Kafka and nothing about models; never imports a service."""
