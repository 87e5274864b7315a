"""Which packages can go without taking others along."""

from __future__ import annotations

from fortyninety.packages.needed import DpkgEntry, removable


def there(needs: str = "", provides: str = "") -> DpkgEntry:
    return DpkgEntry(installed=True, needs=needs, provides=provides)


def test_what_nobody_else_needs_goes_with_what_only_it_needed() -> None:
    known = {"gcc": there("cpp (>= 4:14), libc6"), "cpp": there(), "libc6": there()}
    assert removable(["gcc", "cpp"], known) == (("cpp", "gcc"), {})


def test_what_a_package_that_stays_needs_stays_and_what_that_needs() -> None:
    known = {
        "nvtop": there("libnvidia-ml1 (>= 535), libc6"),
        "libnvidia-ml1": there("nvidia-support"),
        "nvidia-support": there(),
        "nvidia-smi": there("libnvidia-ml1"),
    }
    assert removable(["libnvidia-ml1", "nvidia-support", "nvidia-smi"], known) == (
        ("nvidia-smi",),
        {"libnvidia-ml1": "nvtop", "nvidia-support": "libnvidia-ml1"},
    )


def test_an_alternative_that_stays_is_enough() -> None:
    known = {"tool": there("a | b"), "a": there(), "b": there()}
    assert removable(["a"], known) == (("a",), {})
    assert removable(["a", "b"], known) == (("b",), {"a": "tool"})


def test_what_provides_the_needed_name_counts() -> None:
    known = {
        "tool": there("libcuda.so.1 (>= 550)"),
        "libcuda1": there("", "libcuda.so.1 (= 550), libcuda1-any"),
    }
    assert removable(["libcuda1"], known) == ((), {"libcuda1": "tool"})
    known["libcuda1-other"] = there("", "libcuda.so.1 (= 550)")
    assert removable(["libcuda1"], known) == (("libcuda1",), {})


def test_what_nobody_has_is_needed_of_nobody_and_what_dpkg_does_not_know_does_not_go() -> None:
    known = {"tool": there("gone (>= 1), python3:any"), "python3": there()}
    assert removable(["gone", "python3"], known) == ((), {"python3": "tool"})


def test_settings_of_a_package_that_was_removed_go_too_and_need_nothing() -> None:
    known = {"dkms": DpkgEntry(installed=False, needs="gcc"), "gcc": there()}
    assert removable(["dkms", "gcc"], known) == (("dkms", "gcc"), {})
    assert removable(["gcc"], known) == (("gcc",), {})
