"""Where do the synthetic reviews come from?"""
