"""What people read and look at."""
