"""Say how a box is in one line: what `fortyninety status` shows."""
