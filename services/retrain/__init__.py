"""Answers each trigger of a training, and has trainings run, one at a time."""
