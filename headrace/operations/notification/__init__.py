"""What people ask of notifications."""
