"""The lab's hosts, on top of group_data/all.py: real but for the cards, so the CPU build serves.

The tiny model and the lab's own hub come with the hosts of inventory/lab.py.
"""

engine = "0.32.0-cpu"

# PyTorch's CPU wheel, which package indexes lack; the lab puts it on every host.
wheel_directory = "/var/lib/lab/wheels"

# The lab's disks are folders of its machine, on any kind of disk.
allow_non_nvme = True
