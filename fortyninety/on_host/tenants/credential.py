"""Say how the engine is handed its secret and its paths, which the unit is written from too."""

from __future__ import annotations

# The name of the credential (LoadCredential=), in systemd's folder of them.
CREDENTIAL = "tenant-secret"
FOLDER = "CREDENTIALS_DIRECTORY"
# The paths whose requests take a salt, parted by colons.
PATHS = "FORTYNINETY_SALTED_PATHS"
