"""Model packages, sessions and batching; shared by score and shadow."""
