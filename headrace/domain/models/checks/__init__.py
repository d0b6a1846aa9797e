"""Whether a package may be played: what its graph may contain, a first run, rows that do not depend on each other."""
