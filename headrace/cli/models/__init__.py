"""Commands on models: packages, plans, training, and how well models do."""
