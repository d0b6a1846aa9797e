"""The `files` section: how files of events and labels are read."""
