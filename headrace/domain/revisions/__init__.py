"""Revisions of a pipeline: what a running pipeline is turned into, and which group of `enrich` answers meanwhile."""
