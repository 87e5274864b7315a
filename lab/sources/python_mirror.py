"""A mirror of uv's builds of Python, laid out on a host from Debian's own interpreter.

uv knows its builds by a list with their digests, which names their public address. The list laid
out here names one build at that address; the archive lies in a folder, which a mirror setting
(UV_PYTHON_INSTALL_MIRROR) puts in the address's place.
"""

from __future__ import annotations

from lab.hosts import LabHost

_FOLDER = "/srv/python-mirror"
# What `python_mirror` is to be set to.
ADDRESS = f"file://{_FOLDER}"

_SCRIPT = r"""
set -e
rm -rf "$folder" && mkdir -p "$folder/20260101"
work=$(mktemp -d)
mkdir -p "$work/python/bin" "$work/python/lib" "$work/python/include"
cp /usr/bin/python3.11 "$work/python/bin/"
ln -s python3.11 "$work/python/bin/python3"
ln -s python3.11 "$work/python/bin/python"
cp -r --dereference /usr/lib/python3.11 "$work/python/lib/"
cp -r /usr/include/python3.11 "$work/python/include/"
version=$(python3.11 -c 'import platform; print(platform.python_version())')
name=cpython-$version+20260101-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz
tar -C "$work" -czf "$folder/20260101/$name" python
rm -rf "$work"
digest=$(sha256sum "$folder/20260101/$name" | cut -d ' ' -f 1)
public=https://github.com/astral-sh/python-build-standalone/releases/download
cat >"$folder/downloads.json" <<JSON
{"cpython-$version-linux-x86_64-gnu": {"name": "cpython",
 "arch": {"family": "x86_64", "variant": null}, "os": "linux", "libc": "gnu", "major": 3,
 "minor": 11, "patch": ${version##*.}, "prerelease": "", "variant": null, "build": "20260101",
 "url": "$public/20260101/$(echo "$name" | sed 's/+/%2B/')", "sha256": "$digest"}}
JSON
list="python-downloads-json-url = \"file://$folder/downloads.json\""
grep -qxF "$list" /etc/uv/uv.toml || sed -i "1i $list" /etc/uv/uv.toml
"""


def lay_out(host: LabHost) -> None:
    """Lay the mirror out on HOST, which has Debian's python3.11 and its headers."""
    host.ssh("sh -s", input_text=f"folder={_FOLDER}\n{_SCRIPT}", check=True)
