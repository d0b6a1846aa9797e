"""A pipeline's processes on one machine, started again when they end."""
