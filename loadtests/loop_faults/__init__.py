"""The whole loop, once in peace and then with faults: the same decisions, at the same offsets, on the same evidence."""
