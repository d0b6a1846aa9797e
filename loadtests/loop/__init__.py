"""The loop of retraining and release over real data, beside a champion that is left alone."""
