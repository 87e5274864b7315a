"""List every kind of record that the survey prints, and the form of its fields."""

from __future__ import annotations

from typing import get_args

from fortyninety.survey import records as forms
from fortyninety.survey.reading import Condition, DkmsMark, ModuleKey, Seal
from fortyninety.survey.records import one, perhaps, several, word_of

KINDS = {
    "os": one(*(forms.TEXT,) * 4),
    "machine": one(forms.WORD),
    "uid": perhaps(forms.NUMBER),
    "processor": perhaps(forms.TEXT, forms.LONG_TEXT),
    "boot": one(forms.IDENTIFIER),
    "apt": several(*(forms.TEXT,) * 4),
    # One of two architectures has the same name.
    "package": several(forms.PACKAGE, forms.PACKAGE_VERSION, forms.WORD, forms.WORD),
    "dpkg-broken": perhaps(),
    "keyring": several(forms.FINGERPRINT),
    "kernel": several(forms.KERNEL, forms.PERHAPS_VERSION, name=0),
    "dkms": several(forms.VERSION, forms.PERHAPS_KERNEL, word_of(*get_args(DkmsMark))),
    "grub": several(forms.TEXT),
    "grub-env": several(forms.TEXT),
    "boot-entries": perhaps(forms.LONG_TEXT),
    "pci": several(forms.PCI_ADDRESS, forms.PCI_DEVICE, name=0),
    "nouveau": perhaps(),
    "loaded": perhaps(forms.DRIVER_VERSION),
    "library": several(word_of("libcuda.so", "libnvidia-ml.so"), forms.VERSION, name=0),
    "secure-boot": perhaps(word_of(*get_args(ModuleKey))),
    "gpu": several(forms.TEXT),
    "gpu-error": perhaps(forms.TEXT),
    "stat": several(forms.PATH, forms.TEXT, forms.MODE, forms.TEXT, forms.TEXT, name=0),
    "sha256": several(forms.SHA256, forms.PATH, name=1),
    "link": several(forms.PATH, forms.TEXT, name=0),
    "user": one(forms.ACCOUNT),
    "groups": perhaps(forms.TEXT),
    "unit": several(forms.UNIT_LINE),
    "running": perhaps(forms.CONFIGURATION),
    "environment": several(forms.ENVIRONMENT, word_of("whole", "cut"), name=0),
    "sealed": several(word_of("tools", "engine", "python"), word_of(*get_args(Seal)), name=0),
    "served": several(forms.CONFIGURATION, forms.NUMBER, forms.PERHAPS_ENVIRONMENT, name=0),
    "snapshot": perhaps(word_of(*get_args(Condition))),
    "second_copy": perhaps(word_of(*get_args(Condition))),
    "manifest": several(word_of("snapshot", "second_copy"), forms.SHA256, name=0),
    "snapshot-closed": perhaps(),
    "begun": one(forms.NUMBER),
    "commit": several(forms.COMMIT, name=0),
    "leftover": several(forms.LEFTOVER, name=0),
    "place": several(
        word_of("install_directory", "models_directory", "second_copy_directory"),
        *(forms.PATH, forms.TEXT, forms.MODE, forms.NUMBER),
    ),
    "install-options": perhaps(forms.TEXT),
    "filesystem": one(forms.TEXT, forms.NUMBER),
    "disk": several(forms.WORD, word_of("0", "1")),
    "socket": several(forms.NUMBER, forms.NUMBER, word_of("service", "other")),
    "listener": several(forms.NUMBER, forms.LONG_TEXT),
    "address": several(forms.WORD, forms.IPV4),
    "cell-firewall": perhaps(forms.DIGEST),
    "lease": perhaps(word_of("held", "free"), forms.TEXT),
}

# Names that packages of a driver have, of any source and branch; dpkg's and apt's patterns alike.
