"""How does a value as it is written become an id, a date, a label or stars?"""
