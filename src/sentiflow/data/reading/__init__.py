"""How do bytes become rows?"""
