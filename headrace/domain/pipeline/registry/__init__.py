"""The `registry` section: which model of a registry of others is followed."""
