"""Two models beside each other: tests, and how alike they are."""
