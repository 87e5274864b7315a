"""The engines' locks and cards, and the host tools' lock: pinned, hashed, free of addresses."""

import re
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT
from fortyninety.releases import lock as engine_lock
from fortyninety.releases.lock import compile_lock, seal_problem
from fortyninety.releases.release import Release, known_releases, load_release
from lab.sources import python_index

LOCKS = [*sorted(ROOT.glob("engines/*/requirements.txt")), ROOT / "host-tools/requirements.txt"]
LOCK_IDS = [lock.parent.name for lock in LOCKS]

PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)===?(\S+)( ; .+)?$")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
ADDRESS = re.compile(r"://|--(extra-)?index-url|--trusted-host| @ |(^|\s)/[a-z]+/", re.MULTILINE)

# What every release must have a spelling for, since the 70B is served with it.
NEEDED_FLAGS = (
    "served_model_name",
    "quantization",
    "kv_cache_dtype",
    "max_model_len",
    "max_num_seqs",
    "enable_prefix_caching",
    "gpu_memory_utilization",
    "tensor_parallel_size",
    "host",
    "port",
)


def requirements(lock: Path) -> dict[str, tuple[str, list[str]]]:
    """Return version and hashes by name; fail on a line that is neither."""
    found: dict[str, tuple[str, list[str]]] = {}
    text = re.sub(r"^#.*\n", "", lock.read_text(), flags=re.MULTILINE)
    for entry in text.replace("\\\n", " ").splitlines():
        pin, *hashes = re.split(r"\s+(?=--hash=)", entry.strip())
        match = PIN.match(pin)
        assert match, f"{lock}: {pin!r} is no exact pin; compile the lock again"
        assert all(HASH.fullmatch(digest) for digest in hashes), f"{lock}: {entry}"
        found[match[1]] = (match[2], hashes)
    return found


@pytest.fixture(params=known_releases())
def release(request: pytest.FixtureRequest) -> Release:
    """Each release's card in turn."""
    return load_release(request.param)


def test_there_is_a_lock_for_each_engine_and_one_for_the_host_tools() -> None:
    """The lists above must not be empty, or every test below passes on nothing."""
    assert set(LOCK_IDS) == {*known_releases(), "host-tools"}


@pytest.mark.parametrize("lock", LOCKS, ids=LOCK_IDS)
def test_every_requirement_is_pinned_and_hashed(lock: Path) -> None:
    """A requirement without a hash would be whatever the index serves that day."""
    pins = requirements(lock)
    assert pins, f"{lock} is empty"
    unhashed = [name for name, (_, hashes) in pins.items() if not hashes]
    assert not unhashed, f"{lock}: no hash for {unhashed}; compile with --generate-hashes"


@pytest.mark.parametrize("lock", LOCKS, ids=LOCK_IDS)
def test_no_lock_names_an_index_or_a_machine_s_folder(lock: Path) -> None:
    """Where packages come from is the host's affair: an address here would overrule it."""
    inputs = [lock, *lock.parent.glob("*.in"), *lock.parent.glob("overrides.txt")]
    for path in inputs:
        found = ADDRESS.search(path.read_text())
        assert not found, f"{path} holds {found and found[0]!r}: compile with --no-emit-index-url"


def test_a_card_names_a_distribution_that_its_lock_pins_at_its_version(release: Release) -> None:
    """The card's version is what host tests expect; the lock's is what gets installed."""
    version, _ = requirements(release.lock_path)[release.distribution]
    assert version == release.version


def test_a_card_spells_every_flag_the_70b_is_served_with(release: Release) -> None:
    """A missing spelling would drop a flag without a word."""
    missing = [flag for flag in NEEDED_FLAGS if not release.flags.get(flag)]
    assert not missing, f"{release.release} has no spelling for {missing}"


def test_a_card_s_log_patterns_can_be_searched_for(release: Release) -> None:
    """A pattern that does not compile would fail on the host, long after it was written."""
    for key, lines in release.log_lines.items():
        for pattern in [lines] if isinstance(lines, str) else lines:
            assert re.compile(pattern), key


def test_the_kv_usage_gauge_is_a_fraction(release: Release) -> None:
    """It ends at 1: an alert on 92 would never fire."""
    usage = release.metrics["kv_usage"]
    assert (usage.unit, usage.range) == ("fraction", (0, 1))


def test_a_card_gives_a_source_for_what_it_claims(release: Release) -> None:
    """A fact nobody can trace cannot be corrected."""
    missing = {"version", "entry", "flags", "log_lines", "metrics"} - release.sources.keys()
    assert not missing, f"{release.release} has no source for {missing}"


def test_the_engine_for_the_cpu_leaves_out_what_breaks_it_there() -> None:
    """torchvision and its kin are built for another torch, and transformers imports them."""
    pins = requirements(load_release("0.32.0-cpu").lock_path)
    assert not {"torchvision", "torchaudio", "torchcodec"} & pins.keys()
    assert pins["torch"][0] == "2.13.0+cpu"


def test_the_host_tools_resume_a_download_that_was_cut() -> None:
    """From huggingface_hub 1.18 on, a shard of 5 GB that was cut starts over."""
    version, _ = requirements(ROOT / "host-tools/requirements.txt")["huggingface-hub"]
    major, minor, *_ = (int(part) for part in version.split("."))
    assert (major, minor) < (1, 18), f"huggingface_hub {version} starts a cut file over"


@pytest.mark.parametrize("release", known_releases())
def test_a_pin_takes_no_other_build_of_its_version(release: str) -> None:
    """`torch==2.13.0` would take 2.13.0+cpu from a host's own index, and end at its hash."""
    for line in load_release(release).lock_path.read_text().splitlines():
        if "==" in line and not line.startswith("#"):
            assert "===" in line or "+" in line.split()[0], line


@pytest.mark.parametrize("release", known_releases())
def test_a_committed_lock_is_sealed_for_its_release(release: str) -> None:
    assert seal_problem(release) is None


@pytest.mark.parametrize("release", known_releases())
def test_a_committed_lock_is_what_its_inputs_and_date_give(release: str) -> None:
    """Otherwise nobody could tell a lock that was made from one that was tampered with."""
    wheels = []
    if "+cpu" in (ROOT / "engines" / release / "requirements.in").read_text():
        python_index.ensure_wheels()  # which the package index lacks
        wheels = [str(python_index.wheels_directory())]
    made = compile_lock(release, wheels)
    assert load_release(release).lock_path.read_text() == made


def test_a_lock_edited_by_hand_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = load_release("0.8.5.post1").lock_path.read_text()
    monkeypatch.setattr(engine_lock, "ENGINES_DIRECTORY", tmp_path)
    lock = tmp_path / "0.8.5.post1" / "requirements.txt"
    lock.parent.mkdir()
    for edited in (
        original.replace("idna===3.10", "idna===3.9"),
        original.replace("    --hash=sha256:", "    --hash=sha256:0", 1),
        original.partition("\n")[2],
        original.replace("engine lock 0.8.5.post1", "engine lock 0.32.0"),
    ):
        assert edited != original
        lock.write_text(edited)
        assert seal_problem("0.8.5.post1") is not None, edited[:300]
    lock.write_text(original)
    assert seal_problem("0.8.5.post1") is None


def test_what_a_lock_leaves_out_on_purpose_is_in_its_overrides() -> None:
    assert load_release("0.6.3.post1").left_out == ("pyairports",)
    assert set(load_release("0.32.0-cpu").left_out) == {
        "torchaudio",
        "torchcodec",
        "torchvision",
        "triton",
    }
    assert load_release("0.8.5.post1").left_out == ()
