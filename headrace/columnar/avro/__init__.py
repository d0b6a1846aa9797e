"""Avro records to Arrow columns and back, a batch at a time."""
