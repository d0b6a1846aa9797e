"""The next plan from the newest one and what a person asks for."""
