"""Models of several classes: what their chances lose, and what their decisions are worth."""
