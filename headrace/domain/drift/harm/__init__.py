"""Harm: whether a change costs a model quality, in labels or by estimate, and whether what is true has changed too."""
