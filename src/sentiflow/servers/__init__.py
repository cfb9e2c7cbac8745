"""How do the servers run on one machine?"""
