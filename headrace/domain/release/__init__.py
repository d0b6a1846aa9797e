"""What lets a candidate take a champion's place, and what puts it back."""
