"""JSON texts to columns: named values at paths, many texts at once."""
