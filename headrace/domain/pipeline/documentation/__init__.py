"""What the pipeline file says of views and features for people: owners and descriptions, which change no value."""
