"""Functions over windows that walk the entries themselves, one a file."""
