"""Watches what models read, answer and get wrong, and says when that is no longer what it was."""
