"""Imitate a host's graphics cards: what is known of them, the libraries, their defects."""
