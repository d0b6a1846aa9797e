"""The `retrain` section: what starts a training, how often at most, and what one may take."""
