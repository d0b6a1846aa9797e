"""How much is refused: alarms when it is more than it was."""
