"""What is told of features, on paper."""
