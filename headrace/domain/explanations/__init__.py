"""What each input of a model has to do with its answer to a row."""
