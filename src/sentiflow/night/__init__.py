"""How does a night run?"""
