"""Decide whether the firmware lets the driver's module into the kernel."""

from __future__ import annotations

from fortyninety.problem import Problem
from fortyninety.survey.reading import HostReading

# Where dkms puts the certificate of the key that it signs with (dkms 3 on Debian).
DKMS_CERTIFICATE = "/var/lib/dkms/mok.pub"


def module_refused(host: str, reading: HostReading) -> Problem | None:
    """Why a module that DKMS signs would be refused at boot, and how to have it let in.

    None where Secure Boot is off or the key is enrolled. Nothing here can enrol it: the firmware
    asks for that at the console, so that no remote root can.
    """
    key = reading.kernels.secure_boot
    if key in (None, "enrolled"):
        return None
    if key == "unknown":
        return Problem(
            host=host,
            subject="Secure Boot",
            found="on, and without mokutil it cannot be told which keys the firmware knows",
            expected="mokutil on the host, or Secure Boot off",
            remedy="Run `apt-get install mokutil` and this again",
        )
    certificate = DKMS_CERTIFICATE if key == "none" else key
    make = "apt-get install dkms mokutil && dkms generate_mok && "
    return Problem(
        host=host,
        subject="Secure Boot",
        found="on, and the firmware does not know the key that DKMS signs the NVIDIA module with",
        expected="that key enrolled, or Secure Boot off: the kernel would refuse the module",
        remedy=f"On the host run `{make if key == 'none' else ''}mokutil --import "
        f"{certificate}`, reboot, choose Enroll MOK at its console with the password given there, "
        "and run this again",
    )


def boot_problem(host: str, reading: HostReading) -> Problem | None:
    """`module_refused`, for a host that has no driver in memory yet.

    One with a driver has whatever lets that in; what a reboot into another one needs is looked at
    before that reboot.
    """
    return None if reading.loaded_driver is not None else module_refused(host, reading)
