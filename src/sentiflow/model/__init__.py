"""From texts to probabilities."""
