"""What two services say to each other."""
