"""What was decided, found and asked, one entry after the other, each bound to the one before by its hash."""
