"""Categories among a model's inputs: what a pipeline file says of them."""
