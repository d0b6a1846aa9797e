"""Model packages, their cards, and what became of training, on paper."""
