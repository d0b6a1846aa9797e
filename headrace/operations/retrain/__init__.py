"""Trainings as people ask for them, and what became of everything that asked for one."""
