"""What people are told of control events, and how it reaches them."""
