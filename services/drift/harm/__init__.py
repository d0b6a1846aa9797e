"""What models lose, beside the columns that are watched, and whether an incident harms them."""
