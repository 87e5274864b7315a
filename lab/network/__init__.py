"""Connect hosts: the bridge that they share, and cables of a known speed."""
