"""What scorecards are made of."""
