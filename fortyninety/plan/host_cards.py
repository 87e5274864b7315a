"""Compare the cards that the settings ask for with those of a host. No input or output."""

from __future__ import annotations

from collections.abc import Iterator

from fortyninety.cards.known import KnownCard, card_at, card_named, known_cards
from fortyninety.cards.power import cap_problems, cap_settings_problems
from fortyninety.driver.secure_boot import boot_problem
from fortyninety.plan.plan import tensor_parallel_size
from fortyninety.problem import Problem
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading


def card_settings_problems(host: str, settings: Settings) -> Iterator[Problem]:
    """Yield what is wrong with the settings of the cards, before the host is looked at."""
    known = card_named(settings.gpu_model)
    if known is None:
        products = dict.fromkeys(repr(each.product) for each in known_cards())
        yield Problem(
            host=host,
            subject="gpu_model",
            found=repr(settings.gpu_model),
            expected=f"one of {', '.join(products)}",
        )
    else:
        yield from _driver_problems(host, settings, known)
    yield from cap_settings_problems(host, settings)


def _driver_problems(host: str, settings: Settings, known: KnownCard) -> Iterator[Problem]:
    if settings.driver_branch < known.driver_floor:
        yield Problem(
            host=host,
            subject="driver_branch",
            found=str(settings.driver_branch),
            expected=f"{known.driver_floor} or later for {known.product}",
            remedy="Earlier drivers do not know the card",
        )
    if known.open_modules and settings.driver_kernel_modules == "proprietary":
        yield Problem(
            host=host,
            subject="driver_kernel_modules",
            found="'proprietary'",
            expected=f"'auto' or 'open' for {known.product}",
            remedy="NVIDIA's proprietary modules do not know the card",
        )


def host_card_problems(host: str, settings: Settings, reading: HostReading) -> Iterator[Problem]:
    """Yield what is wrong with the host's cards: their model, their number, their caps."""
    names = _products(reading)
    if not names:
        yield Problem(
            host=host,
            subject="GPU",
            found="none on the PCI bus",
            expected=settings.gpu_model,
            remedy="Check that the card is seated and powered: lspci -d 10de:",
        )
        return
    yield from _model_problems(host, settings, names)
    if settings.gpu_count is not None and len(names) != settings.gpu_count:
        yield Problem(
            host=host, subject="gpu_count", found=str(len(names)), expected=str(settings.gpu_count)
        )
    size = tensor_parallel_size(settings, reading)
    if size > len(names):
        yield Problem(
            host=host,
            subject="tensor_parallel_size",
            found=str(size),
            expected=f"at most the {len(names)} cards of the box",
        )
    yield from cap_problems(host, settings, reading)
    if (refused := boot_problem(host, reading)) is not None:
        yield refused


def _products(reading: HostReading) -> list[str]:
    """The name of each card, by its driver or else by its PCI id."""
    if reading.cards.gpus:
        return [gpu.name for gpu in reading.cards.gpus]
    known = [(device, card_at(device)) for device in reading.cards.devices]
    return [f"NVIDIA device {device}" if card is None else card.product for device, card in known]


def _model_problems(host: str, settings: Settings, names: list[str]) -> Iterator[Problem]:
    different = list(dict.fromkeys(names))
    if len(different) > 1:
        yield Problem(
            host=host,
            subject="GPU",
            found="of different models: " + ", ".join(repr(name) for name in different),
            expected="cards of one model: each gets the same share of the model, so the smallest "
            "and slowest would decide for all",
            remedy="Take the others out, or move them into a box of their own",
        )
        return
    (name,) = different
    if name != settings.gpu_model:
        known = card_named(name) is not None
        yield Problem(
            host=host,
            subject="gpu_model",
            found=repr(name),
            expected=repr(settings.gpu_model),
            remedy=f"If the box is right, set gpu_model = {name!r}" if known else "",
        )
