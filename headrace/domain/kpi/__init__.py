"""Whether figures are as the user's rules want them: a fold of what scorecards, drift and services tell."""
