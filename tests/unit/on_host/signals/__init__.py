"""What a box says of itself."""
