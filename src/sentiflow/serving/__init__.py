"""How does the champion answer?"""
