"""Turns predictions and outcomes into figures per window, model, arm and segment."""
