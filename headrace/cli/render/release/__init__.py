"""Decisions on models, and the ledger of them, on paper."""
