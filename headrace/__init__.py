"""headrace: scores events that arrive on Kafka and keeps the models that score them honest."""
