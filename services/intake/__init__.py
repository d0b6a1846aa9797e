"""Takes events and labels from topics that their producers write in a form of their own."""
