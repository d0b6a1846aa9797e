"""What scores what: plans as facts, and the share of a canary."""
