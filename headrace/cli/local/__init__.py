"""Commands that start a pipeline's processes on this machine."""
