"""Measurements: numbers to improve, never tests."""
