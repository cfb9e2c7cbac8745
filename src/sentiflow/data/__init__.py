"""From sources to a checked, split snapshot."""
