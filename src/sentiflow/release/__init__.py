"""From a trained model to a registered, ruled-on version."""
