"""What headrace is about, without Kafka: pipelines, features, models, quality, training."""
