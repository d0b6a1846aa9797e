"""What was decided or found, typed by kind, as records of the control topic."""
