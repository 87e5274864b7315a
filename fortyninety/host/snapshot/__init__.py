"""A checkpoint at a pinned commit on this host: fetched, verified, handed on, published.

    snapshot verify /srv/models/NAME/COMMIT      hash every file again and say what is wrong

The other commands are a deploy's steps. Each reads one JSON object on standard input, so that no
secret is on a command line, and prints one:

    index     what the commit consists of, from the hub's own metadata
    inspect   hash what is here already, and refuse a disk that is too small for the rest
    fetch     bring files here from the hub, a mirror, a folder or a peer, and hash them
    publish   give the whole folder its name, by one rename
    serve     let peers read the verified files, for a while
    copy      keep a second copy on another disk

Below the model's folder, `.incoming-COMMIT` has what is on its way, `.partial-COMMIT` only files
whose every byte was hashed and is right, and `COMMIT` is the published snapshot. `fetch` from a hub
needs huggingface_hub; everything else needs Python and rsync alone.

Exit code 0: done. 1: this host cannot go on. 3: the source was cut off. 4: wrong bytes.
5: the source refuses, and will again.
"""
