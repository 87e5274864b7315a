"""Disposable hosts that are real except for their cards: Debian under systemd in a container.

Nothing in here is imported by the deploy. The lab imitates silicon and the outside world so that
product code never has to know that it is being tested.
"""
