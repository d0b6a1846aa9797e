"""Records as columns: batches, codecs, dead letters."""
