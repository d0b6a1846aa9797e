"""Keeps windows that another entity keys, and publishes them to the online store."""
