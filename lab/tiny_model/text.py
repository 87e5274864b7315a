"""Define what the tiny models say, and the words that are one token each."""

SENTENCE = (
    "Hello from a tiny Llama: its weights came through the hub, passed every check "
    "and now answer on this host."
)
"""A model's answer to anything. No token may occur twice: each one decides the next."""

KNOWN_TEXT = (
    SENTENCE
    + " You are helpful assistant user system What is the capital of France? Say hello."
    # After a header's opening mark these stand without a space before them.
    + "\nuser\nassistant\nsystem"
)
"""The text whose words become single tokens; any other text falls back to bytes."""
