"""Decides on releases of models, and keeps the ledger of all that was decided."""
