"""Files of events and labels, read and checked as rows of their topics."""
