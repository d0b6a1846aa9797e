"""Schemas and topics as data, and what a broker lacks of them."""
