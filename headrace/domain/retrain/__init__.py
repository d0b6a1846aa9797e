"""When models are trained anew: triggers, and the one answer that each gets."""
