"""What the pipeline file says of drift."""
