"""A service as a process: settings, health, metrics, logs, signals."""
