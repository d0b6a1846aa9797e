"""One partition's life: taken over, processed, committed, left behind."""
