"""How the hosts of inventory/prod.py are reached, on top of group_data/all.py."""

# Root, or another user together with `_sudo = True`.
ssh_user = "root"

# A host whose key is not known is refused: add keys to ~/.ssh/known_hosts before the first run
# (ssh-keyscan, compared with what the box's own console shows).
ssh_strict_host_key_checking = "yes"
