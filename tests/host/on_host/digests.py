"""Every file below a folder: its size, its SHA-256, and what git would call it, hashed in threads.

With `--sizes` no file is read. Symbolic links are followed, dangling ones are said to be so.
"""

import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

# git's name is the hub's for files that are not stored by their SHA-256, which are small.
GIT_LIMIT = 16 * 1024 * 1024


def look_at(path: str) -> dict[str, object]:
    found: dict[str, object] = {"size": None, "sha256": None, "git": None}
    try:
        state = os.stat(path)
    except OSError:
        return found
    found["size"] = state.st_size
    if "--sizes" in sys.argv:
        return found
    digest = hashlib.sha256()
    git = hashlib.sha1(b"blob %d\0" % state.st_size) if state.st_size <= GIT_LIMIT else None
    with open(path, "rb") as file:
        while block := file.read(4 * 1024 * 1024):
            digest.update(block)
            if git is not None:
                git.update(block)
        # What is served must stay in memory, and 40 GB of it read once more must not drive it out.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    found.update(sha256=digest.hexdigest(), git=git.hexdigest() if git else None)
    return found


def main() -> None:
    os.nice(10)
    folder = sys.argv[1]
    paths = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        names = [os.path.relpath(path, folder) for path in paths]
        found = dict(zip(names, pool.map(look_at, paths), strict=True))
    print(json.dumps({"exists": os.path.isdir(folder), "files": found}))


main()
