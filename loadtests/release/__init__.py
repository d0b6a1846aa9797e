"""The study of evidence for releases: how often it is wrong, how soon it is there; it writes docs/evidence.md."""
