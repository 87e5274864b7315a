"""How the hosts of inventory/prod.py are reached, on top of group_data/all.py."""

# Root, or another user together with `_sudo = True`.
ssh_user = "root"
