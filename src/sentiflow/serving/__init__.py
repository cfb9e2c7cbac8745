"""Answer texts: over REST, following the champion, and in batches."""
