"""What people and programs ask of a pipeline: typed results, no terminal, no web."""
