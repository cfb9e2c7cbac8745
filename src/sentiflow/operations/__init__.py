"""A night as an operation: stages, reuse, records."""
