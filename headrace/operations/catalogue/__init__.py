"""What people ask of features: which there are, who reads them, how they lie, whether serving agrees with training."""
