"""A checkpoint at a pinned commit on this host: fetched, verified, handed on, published.

    snapshot verify /srv/models/NAME/COMMIT      hash every file again and say what is wrong

The other commands are a deploy's steps. Each reads one JSON object on standard input, so that no
secret is on a command line, and prints one:

    inspect   hash what is here already, and refuse a disk that is too small for the rest
    fetch     bring files here from the hub, a mirror, a folder or a peer, and hash them
    publish   give the whole folder its name, by one rename
    serve     let peers read the verified files, for a while
    copy      keep a second copy on another disk

What a commit consists of is in the request (`files`: path, size, sha256 or blob); nothing on this
host or outside of it has a say in that. Below the model's folder, `.incoming-COMMIT` has what is on
its way, `.partial-COMMIT` only files whose every byte was hashed and is right, and `COMMIT` is the
published snapshot. What reads from the network runs as the account `fortyninety-fetch`, which may
write to none of them. `fetch` from a hub or a mirror needs httpx; everything else needs Python,
util-linux and rsync alone.

Exit code 0: done. 1: this host cannot go on. 3: the source was cut off. 4: wrong bytes.
5: the source refuses, and will again.
"""
