"""State moved to where keys belong after topics have grown."""
