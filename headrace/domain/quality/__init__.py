"""How good scores are: mergeable summaries of scored events, and figures computed from them, exactly."""
