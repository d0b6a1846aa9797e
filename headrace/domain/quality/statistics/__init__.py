"""Numbers that quality rests on: exact sums, quantiles, intervals, expectations."""
