"""Keep a box from getting anything new until a moment, and say what it still has under way.

What is true stands in a file, which outlives reboots; the gateway reads a map that is made from it
(gateway_control.py), and a timer of systemd ends it where nobody else does.
"""
