"""Watches figures by the rules of the pipeline file."""
