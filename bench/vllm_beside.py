"""Measure by `fortyninety bench` and by vLLM's own client, and count tokens by hand."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import click

from bench.counted_usage import counted
from fortyninety.checkout import ROOT
from lab import hosts
from lab.hosts import LabHost, ssh

ENGINE = "/opt/fortyninety/engines/current/bin/python"
PORT = 8000
# Runs a program whose text comes as a line of JSON before its own input.
_FROM_A_LINE = "import json, sys; exec(json.loads(sys.stdin.readline()))"
_OFFLINE = "HF_HUB_OFFLINE=1 TORCHDYNAMO_DISABLE=1 VLLM_TARGET_DEVICE=cpu"


@dataclass(frozen=True)
class Load:
    """What each client asks of the engine."""

    prompt: int
    completion: int
    rounds: int


@dataclass(frozen=True)
class Found:
    """What a client found: its count of tokens, tokens a second, and medians in milliseconds."""

    tokens: int
    tokens_per_second: float
    first_token: float
    between: float


class Theirs:
    """vLLM's client on the box, in a process that stays."""

    def __init__(self, process: subprocess.Popen[str], log: IO[str], engine: Engine) -> None:
        self._process, self._log, self._key = process, log, engine.key
        address = "https://127.0.0.1" if engine.key else f"http://127.0.0.1:{engine.port}"
        self._arguments = [
            *("--backend", "openai", "--endpoint", "/v1/completions", "--base-url", address),
            *("--model", engine.model, "--tokenizer", engine.snapshot),
            *("--dataset-name", "random"),
            *("--ignore-eos", "--temperature", "0", "--disable-tqdm"),
            *(("--insecure",) if engine.key else ()),
        ]
        self._answer()

    def measure(self, size: int, load: Load) -> Found:
        """Ask `size` at once."""
        asked = {
            "key": self._key,
            "arguments": [
                *self._arguments,
                *("--random-input-len", str(load.prompt)),
                *("--random-output-len", str(load.completion)),
                *("--max-concurrency", str(size), "--num-prompts", str(size * load.rounds)),
                *("--num-warmups", str(size), "--seed", str(random.randrange(2**31))),
            ],
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        found = self._answer()
        if found["completed"] != size * load.rounds:
            raise click.ClickException(f"vllm bench serve had {found['completed']} answers")
        return Found(
            found["total_output_tokens"],
            found["output_throughput"],
            found["median_ttft_ms"],
            found["median_itl_ms"],
        )

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise click.ClickException(f"vllm bench serve ended: {self._log.read()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass(frozen=True)
class Engine:
    """An engine: how ours is told of it, and what theirs needs to know.

    `start` runs vLLM's client, `snapshot` is a folder with the model's tokenizer, `host` the lab
    host that it is on; None where it is this machine.
    """

    where: tuple[str, ...]
    start: tuple[str, ...]
    model: str
    snapshot: str
    port: int
    host: LabHost | None
    key: str = ""


def lab_engine(name: str, given: dict[str, Any]) -> Engine:
    """That of a lab host, around its gateway or through it."""
    host = next((each for each in hosts.hosts() if each.name == name), None)
    if host is None:
        raise click.UsageError(f"{name} is no lab host; see `fortyninety lab status`")
    key, where = "", [given["inventory"], "--limit", name]
    if given["key_file"]:
        key = Path(given["key_file"]).read_text().strip()
        where = [f"https://{host.address}", "--key-file", given["key_file"]]
        where += ["--certificate", given["certificate"]]
    command = f"{_OFFLINE} exec {ENGINE} -c '{_FROM_A_LINE}'"
    return Engine(
        where=tuple(where),
        start=tuple(ssh.command_line(host.address, [command])),
        model=host.choice.model.repository,
        snapshot=host.ssh("readlink -f /srv/models/*/current", check=True).stdout.split()[0],
        port=PORT,
        host=host,
        key=key,
    )


def engine_here(address: str, given: dict[str, Any]) -> Engine:
    """That at an address of this machine."""
    port = urlsplit(address).port
    if port is None or not (given["python"] and given["model"] and given["tokenizer"]):
        raise click.UsageError(
            "expected http://127.0.0.1:PORT with --python, --model and --tokenizer"
        )
    return Engine(
        where=(address,),
        start=("env", "HF_HUB_OFFLINE=1", given["python"], "-c", _FROM_A_LINE),
        model=given["model"],
        snapshot=given["tokenizer"],
        port=port,
        host=None,
    )


@contextmanager
def theirs(engine: Engine) -> Iterator[Theirs]:
    """vLLM's client beside an engine, until the block ends."""
    program = (ROOT / "bench/vllm_rounds.py").read_text()
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            engine.start,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        process.stdin.write(json.dumps(program) + "\n")
        process.stdin.flush()
        try:
            yield Theirs(process, said, engine)
        finally:
            process.stdin.close()


def ours(where: Sequence[str], size: int, load: Load) -> tuple[Found, list[str]]:
    """What `fortyninety bench` finds, and what it says against that."""
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "fortyninety", "bench", *where, "--json"),
            *("--batch", str(size), "--rounds", str(load.rounds)),
            *("--prompt-tokens", str(load.prompt), "--completion-tokens", str(load.completion)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads(ran.stdout)["result"] if ran.stdout else None
    if result is None:
        raise click.ClickException(f"fortyninety bench failed: {ran.stderr}{ran.stdout}")
    (batch,) = result["batches"]
    return (
        Found(
            batch["tokens"],
            batch["tokens_per_second"],
            1000 * batch["first_token"]["p50"],
            1000 * batch["inter_token"]["p50"],
        ),
        batch["doubts"],
    )


def by_turns(
    engine: Engine, other: Theirs, size: int, load: Load, *, ours_first: bool
) -> tuple[dict[str, Found], list[str]]:
    """What each client finds alone, and what ours says against its figures."""
    found: dict[str, Found] = {}
    if not ours_first:
        found["theirs"] = other.measure(size, load)
    found["ours"], doubts = ours(engine.where, size, load)
    if ours_first:
        found["theirs"] = other.measure(size, load)
    return found, doubts


def at_once(
    engine: Engine, other: Theirs, size: int, load: Load
) -> tuple[dict[str, Found], list[str]]:
    """What each finds beside the other, which ours says against its figures as well."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        beside = pool.submit(other.measure, size, load)
        found, doubts = ours(engine.where, size, load)
        return {"ours": found, "theirs": beside.result()}, doubts


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name", metavar="HOST|URL")
@click.option("--inventory", default="inventory/lab.py", show_default=True)
@click.option("--batch", "sizes", multiple=True, type=int, default=(1, 2, 4), help="At once.")
@click.option("--pairs", default=3, show_default=True, help="Pairs of each batch.")
@click.option("--prompt-tokens", "prompt", default=64, show_default=True)
@click.option("--completion-tokens", "completion", default=32, show_default=True)
@click.option("--rounds", default=4, show_default=True, help="How often each of a batch asks.")
@click.option("--at-once", is_flag=True, help="Both clients of a pair at the same time.")
@click.option("--key-file", help="Ask the host's gateway, with this key.")
@click.option("--certificate", help="Whose certificates of the gateway to believe.")
@click.option("--python", help="Of an address: the Python that has vLLM.")
@click.option("--model", help="Of an address: the name that is served.")
@click.option("--tokenizer", help="Of an address: the folder of the model's tokenizer.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(name: str, sizes: tuple[int, ...], pairs: int, **given: Any) -> None:
    """Put the same loads on an engine by both clients, and compare.

    On a lab host's around the gateway, and with --key-file through it; on one of this machine at
    its address. Nothing else should be at work there. The counts are of the engine's own `usage`,
    added up from the bytes of its answers.

    By turns, or with --at-once side by side: where a machine is now faster and now slower, both see
    the same of that, and the engine makes the tokens of both in the same steps.

    \b
    Examples:
      python -m bench.vllm_beside lab1
      python -m bench.vllm_beside lab1 --key-file key --certificate lab.authority/authority.pem
      python -m bench.vllm_beside http://127.0.0.1:8000 --python /opt/vllm/bin/python \\
        --model m8b --tokenizer models/8b
    """
    engine = engine_here(name, given) if name.startswith("http://") else lab_engine(name, given)
    load = Load(given["prompt"], given["completion"], given["rounds"])
    measured = []
    with theirs(engine) as other:
        for number in range(pairs):
            for size in sizes:
                asked = (engine, other, size, load)
                found, doubts = (
                    at_once(*asked)
                    if given["at_once"]
                    else by_turns(*asked, ours_first=number % 2 == 1)
                )
                measured.append((size, found, doubts))
                if not given["as_json"]:
                    click.echo(_line(size, found, doubts))
    hand = None if engine.key else _counted(engine, max(sizes), load)
    result = {
        "pairs": [
            {"batch": size, "doubts": doubts} | {who: asdict(each) for who, each in found.items()}
            for size, found, doubts in measured
        ],
        "median_of_ours_over_theirs": {size: _median(measured, size) for size in sizes},
        "counted_by_hand": hand,
    }
    if given["as_json"]:
        click.echo(json.dumps(result, indent=2))
    else:
        click.echo(f"ours over theirs, median: {result['median_of_ours_over_theirs']}")
        click.echo(f"counted by hand: {hand}")
    wanted = {size: size * load.rounds * load.completion for size in sizes}
    right = all(
        each.tokens == wanted[size] for size, found, _ in measured for each in found.values()
    )
    sys.exit(0 if right and (hand is None or hand["bench"] == hand["usage"]) else 1)


def _median(measured: list[tuple[int, dict[str, Found], list[str]]], size: int) -> float:
    return round(statistics.median(_ratio(found) for at, found, _ in measured if at == size), 3)


def _ratio(found: dict[str, Found]) -> float:
    return found["ours"].tokens_per_second / found["theirs"].tokens_per_second


def _line(size: int, found: dict[str, Found], doubts: list[str]) -> str:
    columns = [
        f"{who} {each.tokens} tokens {each.tokens_per_second:.1f}/s "
        f"first {each.first_token:.0f} ms between {each.between:.1f} ms"
        for who, each in sorted(found.items())
    ]
    return f"{size}: {'; '.join(columns)}; {_ratio(found):.3f}" + "".join(
        f"\n  ! {doubt}" for doubt in doubts
    )


def _counted(engine: Engine, size: int, load: Load) -> dict[str, int]:
    """The tokens of a run of ours, by itself and by hand."""
    with counted(engine.host, engine.port) as between:
        found, _ = ours([between.address], size, load)
    # Those of the warm-up ask for fewer.
    made = [made for asked, _, made in between.requests if asked == load.completion]
    return {"bench": found.tokens, "usage": sum(made), "requests": len(made)}


if __name__ == "__main__":
    main()
