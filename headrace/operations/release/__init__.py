"""What people ask of releases of models, and what `release` answers."""
