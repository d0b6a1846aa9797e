"""The `notify` section: who is told of what."""
