"""Which kernel boots next is what the boot loader is set to, and not always the newest."""

from __future__ import annotations

import pytest

from fortyninety.survey.boot_kernel import boot_entry_kernel, grub_kernel
from fortyninety.survey.fact import Survey
from tests.unit.readings import bare_host, records

# As Debian's grub-mkconfig writes it, down to the lines that the survey takes from it.
GRUB = """\
   set default="${{next_entry}}"
   set default="{default}"
}}
}}
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-5f' {{
    linux /boot/vmlinuz-6.12.60+deb13-amd64 root=UUID=5f ro quiet
}}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-5f' {{
  menuentry 'Debian GNU/Linux, with Linux 6.12.60+deb13-amd64' --class debian \
$menuentry_id_option 'gnulinux-6.12.60+deb13-amd64-advanced-5f' {{
      linux /boot/vmlinuz-6.12.60+deb13-amd64 root=UUID=5f ro quiet
  }}
  menuentry 'Debian GNU/Linux, with Linux 6.12.60+deb13-amd64 (recovery mode)' \
$menuentry_id_option 'gnulinux-6.12.60+deb13-amd64-recovery-5f' {{
      linux /boot/vmlinuz-6.12.60+deb13-amd64 root=UUID=5f ro single
  }}
  menuentry 'Debian GNU/Linux, with Linux 6.12.57+deb13-amd64' --class debian \
$menuentry_id_option 'gnulinux-6.12.57+deb13-amd64-advanced-5f' {{
      linux /boot/vmlinuz-6.12.57+deb13-amd64 root=UUID=5f ro quiet
  }}
}}
menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {{
}}
"""
NEW, OLD = "6.12.60+deb13-amd64", "6.12.57+deb13-amd64"
SAVED_OLD = "gnulinux-advanced-5f>gnulinux-6.12.57+deb13-amd64-advanced-5f"


def kernel(default: str, **environment: str) -> str | None:
    return grub_kernel(GRUB.format(default=default).splitlines(), environment)


@pytest.mark.parametrize(
    ("default", "environment", "expected"),
    [
        ("0", {}, NEW),
        ("1>2", {}, OLD),
        ("1>1", {}, NEW),
        ("1", {}, NEW),
        (SAVED_OLD, {}, OLD),
        (
            "Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux "
            "6.12.57+deb13-amd64",
            {},
            OLD,
        ),
        ("${saved_entry}", {"saved_entry": SAVED_OLD}, OLD),
        ("${saved_entry}", {}, NEW),
        ("0", {"next_entry": "1>2"}, OLD),
        ("no such entry", {}, NEW),
    ],
)
def test_grub_starts_what_its_default_says(
    default: str, environment: dict[str, str], expected: str
) -> None:
    assert kernel(default, **environment) == expected


def test_a_default_that_starts_no_linux_is_not_guessed_at() -> None:
    assert grub_kernel(["menuentry 'UEFI Firmware Settings' {", "}"], {}) is None


def test_systemd_boots_default_entry_is_found_by_its_kernel() -> None:
    listing = (
        '[{"id":"a","version":"6.12.60+deb13-amd64","isDefault":false},'
        '{"id":"b","linux":"/0af1/6.12.57+deb13-amd64/linux","isDefault":true}]'
    )
    assert boot_entry_kernel(listing) == OLD
    assert boot_entry_kernel("not JSON") is None


def test_the_survey_carries_it_into_the_kernel_that_boots_next() -> None:
    output = records(
        f"kernel\t{OLD}\t550.163.01",
        f"kernel\t{NEW}\t",
        *(f"grub\t{line}" for line in GRUB.format(default="${saved_entry}").splitlines()),
        f"grub-env\tsaved_entry={SAVED_OLD}",
        without="kernel",
    )
    assert Survey().process(output).kernels.next == OLD
    assert Survey().process([line for line in output if "saved" not in line]).kernels.next == NEW


def test_a_kernel_that_is_not_installed_any_more_does_not_boot_next() -> None:
    assert bare_host(kernels__chosen="1.2.3").kernels.next == "6.12.57+deb13-amd64"
