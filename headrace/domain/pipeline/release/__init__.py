"""The `release` section: what a new model must pass, who decides, and how often a machine may be wrong."""
