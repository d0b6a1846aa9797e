"""Training on more than two classes: how well their probabilities do, and what graphs of two classes become."""
