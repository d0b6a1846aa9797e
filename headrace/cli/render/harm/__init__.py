"""What drift costs, on paper."""
