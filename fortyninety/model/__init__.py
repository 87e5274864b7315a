"""Checkpoints as the controller knows them: the hubs that it asks, and the lists it trusts."""
