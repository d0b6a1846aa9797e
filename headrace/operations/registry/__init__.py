"""A registry of others: its versions become packages, and it is told what became of them."""
