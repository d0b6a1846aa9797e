"""A model over events of the past: from which records, where its predictions go, and how they compare."""
