"""What does this command do?"""
