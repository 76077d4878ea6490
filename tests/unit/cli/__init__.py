"""What the commands make of their arguments."""
