"""What would a night make of these files?"""
