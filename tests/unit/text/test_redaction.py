"""What a report that is published must not have, and what it must keep."""

from __future__ import annotations

import pytest

from fortyninety.text.redaction import LONGEST, Redactor

NAMES = {"gpu-box-1": "box-1", "gpu-box-11": "box-2", "carol": "<user>", "rack7": "<controller>"}
COMMIT = "2123003760781134cfc31124aa6560a45b491fdf"
MODEL = "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4"

PRIVATE = {
    "a host's name": ("[gpu-box-1] Connected", "gpu-box"),
    "a host's name in capitals": ("GPU-BOX-11 is lost", "BOX-11"),
    "a user's name": ("Permission denied for carol", "carol"),
    "a home folder": ("no key file /home/dave/.ssh/id_ed25519", "dave"),
    "an IPv4 address": ("bound to 192.0.2.11:22", "192.0.2.11"),
    "an IPv6 address": ("bound to [2001:db8::7]:22", "db8"),
    "a long IPv6 address": ("at 2001:db8:1:2:3:4:5:6 now", "db8"),
    "a link-local address": ("fe80::1ff:fe23:4567:890a is up", "fe23"),
    "a card's UUID": ("GPU-5f2e8a10-1111-2222-3333-444455556666: 400 W", "5f2e"),
    "another UUID": ("boot 8c6f7a52-0d0c-4c2e-9f0b-2a57a1c7d3e1", "8c6f"),
    "a serial number": ("Serial Number: 1424821012345", "1424821012345"),
    "a drive's serial": ("serial=S4EWNX0R123456", "S4EWNX0R"),
    "a MAC address": ("link/ether 52:54:00:ab:cd:ef up", "ab:cd"),
    "a hub's token": ("401 for hf_AbCdEfGhIjKlMnOpQr", "AbCdEf"),
    "a header": ("Authorization: Bearer abc.def-123456", "abc.def"),
    "a password": ("ssh_password = 'correct horse battery'", "horse"),
    "a key in JSON": ('{"api_key": "0123 4567"}', "0123"),
    "a key in the environment": ("VLLM_API_KEY=abcdefg", "abcdefg"),
    "a private key": (
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\nxyz\n-----END OPENSSH PRIVATE KEY-----",
        "b3Blbn",
    ),
    "a private key that was cut": ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow", "MIIEow"),
    "a public key": ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAbc dave@desk", "AAAAC3"),
    "who made a public key": ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB dave@desk", "dave"),
    "a fingerprint": ("SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDOqKV", "uNiVztks"),
    "an address with a user": ("https://dave:pw@mirror.example/simple", "dave"),
    "a mirror": ("index http://mirror.corp.example.net/simple answers 404", "mirror"),
    "mail": ("ask dave@example.org", "dave"),
    "a domain": ("cannot resolve gpu1.corp.example.com", "corp"),
    "a long secret of no known kind": ("x-amz 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", "9f86d0"),
}

KEPT = (
    f"{MODEL} at {COMMIT}",
    "driver 550.163.01, CUDA 12.4, kernel 6.12.57+deb13-amd64",
    "vllm.service is active; engines/0.8.5.post1/engine.yaml; 0000:01:00.0 0x2684",
    "listens on 127.0.0.1:8000 since 12:34:56; expected 0.0.0.0 never",
    "cap 400 W of 150.0 to 600.0 (docs/power.md); 40,720 tokens",
    "fortyninety/fit/engine_memory.py; model-00001-of-00009.safetensors",
    "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'",
)


def redact(text: str) -> str:
    return Redactor(NAMES, [MODEL, COMMIT])(text)


@pytest.mark.parametrize("kind", PRIVATE)
def test_what_is_private_is_taken_out(kind: str) -> None:
    text, secret = PRIVATE[kind]
    assert secret in text
    assert secret.lower() not in redact(text).lower()


@pytest.mark.parametrize("text", KEPT)
def test_what_a_report_is_for_stays(text: str) -> None:
    assert redact(text) == text


def test_hosts_stay_told_apart() -> None:
    assert redact("gpu-box-1 asks gpu-box-11") == "box-1 asks box-2"


def test_a_public_text_that_is_also_private_is_taken_out() -> None:
    assert Redactor({"acme/model": "<model>"}, ["acme/model"])("serves acme/model") == (
        "serves <model>"
    )


def test_a_text_cannot_have_itself_taken_for_a_public_one() -> None:
    mark = "\N{SYMBOL FOR SUBSTITUTE}"
    assert redact(f"{mark}7{mark} {COMMIT}") == f"?7? {COMMIT}"


def test_of_a_text_without_end_the_beginning_is_shown_and_half_a_secret_is_not() -> None:
    secret = "hf_AbCdEfGhIjKlMnOpQr"
    for filling in range(LONGEST - len(secret) - 2, LONGEST + 2):
        text = f"{'. ' * (filling // 2)}{'.' * (filling % 2)} {secret} and more" + "." * LONGEST
        shown = Redactor(NAMES)(text)
        assert "hf_" not in shown and len(shown) <= LONGEST + 3
    # A pattern looks at each word of it again for each word.
    assert Redactor(NAMES)("token" * 1_000_000) == "..."
