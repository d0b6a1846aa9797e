"""What is shown of several classes."""
