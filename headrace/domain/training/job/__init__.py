"""Training as a job: an order, the process that carries it out within limits, and the result."""
