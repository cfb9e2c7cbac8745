"""What is a review, a snapshot, a split?"""
