"""Compute the memory of a checkpoint on cards before a byte is fetched.

Pure. `estimate` takes a checkpoint's tensors, a shape of cards, an engine release and its flags,
and says how many tokens of KV cache there will be, or why there are none.
"""
