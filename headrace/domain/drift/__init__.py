"""Drift: how far what comes has moved from what a model was trained on, under one budget of false alarms."""
