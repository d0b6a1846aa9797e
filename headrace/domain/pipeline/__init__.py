"""The pipeline file: a use case in one file, read, checked and turned into schemas and topics."""
