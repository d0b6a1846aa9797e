"""Where what is not on Kafka is kept."""
