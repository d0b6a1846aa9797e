"""What is known of drift in a pipeline."""
