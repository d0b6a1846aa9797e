"""The services of headrace, one folder each: they meet on topics, and know nothing of each other."""
