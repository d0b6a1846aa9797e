"""Columns in memory: compiled kernels, codecs, indexes. Knows nothing of Kafka."""
