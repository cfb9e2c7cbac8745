"""How does a text become a probability?"""
