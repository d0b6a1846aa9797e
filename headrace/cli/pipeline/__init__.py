"""Commands on a pipeline's contracts, topics and state."""
