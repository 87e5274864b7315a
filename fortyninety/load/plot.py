"""Draw what was measured: speed, first token and time between tokens over the size of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fortyninety.load.figures import Percentiles
from fortyninety.load.result import Result

KINDS = (".png", ".svg")
# Colours that differ for everybody (Okabe and Ito), in print too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_GREY = "#666666"


class NoPlot(Exception):
    """Why nothing can be drawn, in one line."""


def check_plot(file: Path) -> None:
    """Raise NoPlot where a plot cannot be drawn into this file: before an hour of measuring."""
    if file.suffix.lower() not in KINDS:
        raise NoPlot(f"{file.name} is no file of a kind that is drawn; expected .png or .svg")
    if not file.parent.is_dir():
        raise NoPlot(f"there is no folder {file.parent}")
    _pyplot()


def draw(result: Result, file: Path) -> None:
    """Draw into a file. Raises NoPlot."""
    pyplot = _pyplot()
    figure, (speed, waits, gaps) = pyplot.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
    several = len(result.capped) > 1
    for colour, each in zip(_COLOURS * 3, result.capped, strict=False):
        sizes = [batch.size for batch in each.batches]
        name = f"{each.cap} W" if several else "all together"
        speed.plot(
            sizes,
            [batch.figures.tokens_per_second for batch in each.batches],
            *("o-",),
            color=colour,
            label=name,
        )
        if not several:
            rates = [batch.figures.per_stream for batch in each.batches]
            speed.plot(sizes, rates, "s--", color=_COLOURS[1], label="each reader")
        label = name if several else ""
        first = [(batch.size, batch.figures.first_token, 1) for batch in each.batches]
        _spread(waits, first, colour, label)
        between = [(batch.size, batch.figures.inter_token, 1000) for batch in each.batches]
        _spread(gaps, between, colour, label)
    if result.ceiling is not None:
        speed.axhline(result.ceiling, color=_GREY, linestyle=":", linewidth=1)
        speed.annotate(
            "one reader's ceiling ",
            (max(batch.size for each in result.capped for batch in each.batches), result.ceiling),
            **{"ha": "right", "va": "bottom", "color": _GREY, "fontsize": 8},
        )
    titles = ("tokens/s", "first token, s", "between tokens, ms")
    for axes, title in zip((speed, waits, gaps), titles, strict=True):
        sizes = sorted({batch.size for each in result.capped for batch in each.batches})
        axes.set_title(title, loc="left", fontsize=11)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("requests at once")
        axes.grid(axis="y", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    load = result.load
    doubtful = "" if result.trusted else " (not to be trusted: see the table)"
    figure.suptitle(
        f"{result.where}: {load.model}, {load.prompt_tokens} tokens in, "
        f"{load.completion_tokens} out{doubtful}",
        fontsize=11,
    )
    try:
        figure.savefig(file, dpi=150)
    except OSError as error:
        raise NoPlot(f"{file} cannot be written: {error.strerror}") from error
    finally:
        pyplot.close(figure)


def _spread(
    axes: Any, found: Sequence[tuple[int, Percentiles | None, int]], colour: str, name: str
) -> None:
    """The median as a line, p95 and p99 as thinner ones; each value times what is beside it."""
    points = [(size, each, times) for size, each, times in found if each is not None]
    sizes = [size for size, *_ in points]
    # Of several caps the medians alone: more could not be told apart.
    keys = (
        (("p50", "o-", 1.5),) if name else (("p50", "o-", 1.5), ("p95", "--", 1), ("p99", ":", 1))
    )
    for key, line, width in keys:
        values = [getattr(each, key) * times for _, each, times in points]
        axes.plot(sizes, values, line, color=colour, linewidth=width, label=name or key)


def _pyplot() -> Any:
    try:
        import matplotlib  # noqa: PLC0415
    except ImportError as error:
        raise NoPlot("matplotlib is not installed: pip install 'fortyninety[plot]'") from error
    matplotlib.use("Agg")
    # A model's name with a dollar sign is no formula.
    matplotlib.rcParams["text.parse_math"] = False
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot  # noqa: PLC0415

    return pyplot
