"""A checkpoint as this machine knows it: the hubs it asks, and the list of files it trusts."""
