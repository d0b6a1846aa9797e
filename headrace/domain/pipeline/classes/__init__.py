"""Models of more than two classes: what a pipeline file says of them, how classes are told, and which is decided on."""
