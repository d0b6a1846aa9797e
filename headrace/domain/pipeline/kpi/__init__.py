"""The `kpis` section: figures that are watched, what is too much or too little of them, and who is told."""
