"""Protobuf messages to columns: fields at paths of numbers, many messages at once."""
