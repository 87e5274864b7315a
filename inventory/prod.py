"""An example fleet: edit it, or copy it for each of your own.

A host is its name with its own settings, which win over those of its groups (group_data/<group>.py;
every host here is also in the group of this file's name, prod) and over group_data/all.py, where
everything there is to set stands. ssh_* keys are pyinfra's own, see its page on the SSH connector.
"""

# 39.8 GB of AWQ-INT4 weights need two cards of 24 GB (docs/fit.md), so these boxes have two.
two_cards = [
    ("gpu-box-1", {"ssh_hostname": "192.0.2.11", "gpu_count": 2}),
    ("gpu-box-2", {"ssh_hostname": "192.0.2.12", "gpu_count": 2}),
]

# Two boxes with one card each that serve one model together, the first of them as the head
# (docs/cell.md), are each ("name", {"ssh_hostname": ..., "cell": "a", "engine": "0.32.0",
# "gpu_memory_utilization": 0.93}).

# One address for all of them: a host without cards as their front (docs/front.md), such as
# ("front-1", {"ssh_hostname": "192.0.2.10", "roles": ["gateway"], "gateway_names": ["llm.lan"]}).

# Four cards: two would do, and "all" of them give longer contexts and more of them at once.
four_cards = [
    ("gpu-box-3", {"ssh_hostname": "192.0.2.13", "gpu_count": 4, "max_num_seqs": 8}),
]
