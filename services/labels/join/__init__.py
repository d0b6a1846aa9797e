"""The join of one partition of the exchange: predictions, labels and events of one id, in memory of its own."""
