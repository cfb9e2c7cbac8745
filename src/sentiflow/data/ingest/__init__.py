"""What is new since the last night?"""
