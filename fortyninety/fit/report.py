"""Print the answer of `fit`: a table, a memory bar for each card, and plain values."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fortyninety.fit.alternatives import Alternative
from fortyninety.fit.estimate import CardUse, Fit
from fortyninety.fit.speed import most_tokens_per_second

BAR_WIDTH = 54
WIDTH = 80

# Told apart by shape as well, for paper and for eyes that do not tell the colours apart.
PARTS = (
    ("weights", "█", "blue"),
    ("overhead", "▓", "yellow"),
    ("KV cache", "▒", "green"),
    ("free", "·", "bright_black"),
)


def fit_values(fit: Fit, alternatives: Sequence[Alternative]) -> dict[str, Any]:
    """The answer as plain values, for JSON. Sizes are bytes."""
    ceiling = _ceiling(fit)
    return {
        "fits": fit.fits,
        "kv_tokens": fit.kv_tokens,
        "concurrency": round(fit.concurrency, 2),
        "card": fit.shape.card.name,
        "most_tokens_per_second": None if ceiling is None else round(ceiling, 1),
        "reasons": list(fit.reasons),
        "missing": list(fit.missing),
        "warnings": list(fit.warnings),
        "engine": fit.engine.release,
        "checkpoint_bytes": fit.weights.total,
        "checkpoint_source": fit.weights.source,
        "quantization": fit.weights.architecture.method,
        "tensor_parallel_size": fit.shape.tensor_parallel,
        "pipeline_parallel_size": fit.shape.pipeline_parallel,
        "max_model_len": fit.flags.max_model_len,
        "max_num_seqs": fit.flags.max_num_seqs,
        "max_num_batched_tokens": fit.batched_tokens,
        "kv_cache_dtype": fit.flags.kv_cache_dtype,
        "gpu_memory_utilization": fit.flags.gpu_memory_utilization,
        "cards": [_card_values(use) for use in fit.cards],
        "alternatives": [
            {
                "change": each.change,
                "price": each.price,
                "kv_tokens": each.fit.kv_tokens,
                "concurrency": round(each.fit.concurrency, 2),
            }
            for each in alternatives
        ],
    }


def _card_values(use: CardUse) -> dict[str, Any]:
    return {
        "stage": use.stage,
        "layers": len(use.layers),
        "usable_bytes": use.usable,
        "budget_bytes": use.budget,
        "weights_bytes": use.weights,
        "overhead_bytes": use.overhead,
        "kv_bytes": use.kv,
        "free_bytes": use.free,
        "kv_bytes_per_token": use.kv_token,
        "overhead": {
            "activations_bytes": use.activations,
            "outside_pytorch_bytes": use.outside_pytorch,
            "graphs_bytes": use.graphs,
            "context_bytes": use.context,
            "fragmentation_bytes": use.fragmentation,
            "unknown_bytes": use.unknown,
        },
    }


def fit_text(fit: Fit, alternatives: Sequence[Alternative]) -> str:
    """The report as plain text of at most 80 columns, for a message."""
    console = Console(file=io.StringIO(), width=WIDTH, no_color=True, highlight=False)
    console.print(fit_report(fit, alternatives))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())


def fit_report(fit: Fit, alternatives: Sequence[Alternative]) -> RenderableType:
    """The verdict, the arithmetic of each card, a bar for each, and what would fit instead."""
    parts: list[RenderableType] = [_headline(fit), _plan(fit), Text(), _table(fit), Text()]
    parts += _bars(fit)
    for reason in fit.reasons:
        parts.append(_item("✗", "red", reason))
    for warning in fit.warnings:
        parts.append(_item("!", "yellow", warning))
    if not fit.fits:
        parts += [Text(), Text("What would fit:" if alternatives else "Nothing near it fits.")]
    elif alternatives:
        parts += [Text(), Text("What would hold more at once:")]
    for each in alternatives:
        parts.append(_item("→", "green", f"{each.change}: {_holds(each.fit)}. {each.price}"))
    return Group(*parts)


def _headline(fit: Fit) -> Text:
    if fit.missing:
        return Text.assemble(("Cannot be served", "bold red"), f" by engine {fit.engine.release}")
    verdict = ("Fits", "bold green") if fit.fits else ("Does not fit", "bold red")
    text = Text.assemble(verdict, ": ")
    text.append(_holds(fit) if fit.fits else f"{fit.shape.in_words} is too small for it")
    return text


def _plan(fit: Fit) -> Text:
    architecture, flags = fit.weights.architecture, fit.flags
    stages = fit.shape.pipeline_parallel
    ceiling = _ceiling(fit)
    split = f"tensor parallel {fit.shape.tensor_parallel}"
    if stages > 1:
        split += f", pipeline parallel {stages}"
    lines = (
        f"checkpoint {fit.weights.total / 1e9:.2f} GB, {architecture.method}, {fit.weights.source}",
        f"{fit.shape.in_words}, {split}, engine {fit.engine.release}",
        f"max_model_len {flags.max_model_len}, max_num_seqs {flags.max_num_seqs}, "
        f"max_num_batched_tokens {fit.batched_tokens},",
        f"kv_cache_dtype {flags.kv_cache_dtype}, "
        f"gpu_memory_utilization {flags.gpu_memory_utilization}",
        *([f"{fit.shape.card.name}: computed, never run"] if fit.shape.card.name else ()),
        *([f"one reader gets {ceiling:.0f} tokens/s at most"] if ceiling is not None else ()),
    )
    return Text("\n".join(f"  {line}" for line in lines))


def _ceiling(fit: Fit) -> float | None:
    """The most tokens a second for one reader, where it is served and the card is known."""
    bandwidth = fit.shape.card.bandwidth
    if bandwidth is None or fit.missing:
        return None
    return most_tokens_per_second(fit.weights, fit.shape, bandwidth)


def _holds(fit: Fit) -> str:
    return (
        f"{fit.kv_tokens:,} tokens of KV cache, {fit.concurrency:.2f} sequences of "
        f"{fit.flags.max_model_len:,}"
    )


def _table(fit: Fit) -> Table:
    """One column a card, or one for all of a stage where every stage has several alike."""
    columns = _distinct(fit)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=True)
    table.add_column("GiB a card")
    for name, _ in columns:
        table.add_column(name, justify="right")
    rows = (
        ("usable", [use.usable for _, use in columns]),
        ("budget of the engine", [use.budget for _, use in columns]),
        ("weights", [use.weights for _, use in columns]),
        ("activations at their peak", [use.activations for _, use in columns]),
        ("CUDA beside PyTorch", [use.outside_pytorch for _, use in columns]),
        (_graphs(fit), [use.graphs for _, use in columns]),
        ("left for the KV cache", [use.available for _, use in columns]),
        (_context(fit), [use.context for _, use in columns]),
        ("fragmentation, outside", [use.fragmentation for _, use in columns]),
        ("not known of the card, outside", [use.unknown for _, use in columns]),
    )
    for name, sizes in rows:
        table.add_row(name, *(f"{size / (1 << 30):.2f}" for size in sizes))
    table.add_row("KV cache a token, KiB", *(f"{use.kv_token / 1024:.4g}" for _, use in columns))
    return table


def _graphs(fit: Fit) -> str:
    return "CUDA graphs" if fit.engine.counts_graphs else "CUDA graphs, outside"


def _context(fit: Fit) -> str:
    if fit.engine.counts_context:
        return "CUDA context"
    several = len(fit.cards) > 1 and fit.engine.several_before
    return "CUDA context and NCCL, outside" if several else "CUDA context, outside"


def _distinct(fit: Fit) -> list[tuple[str, CardUse]]:
    """A column for each stage; every card of a stage is like the others."""
    by_stage: dict[int, CardUse] = {use.stage: use for use in fit.cards}
    if len(by_stage) == 1:
        return [("", by_stage[0])]
    return [(f"stage {stage}, {len(use.layers)} layers", use) for stage, use in by_stage.items()][
        :4
    ]


def _bars(fit: Fit) -> list[Text]:
    bars = [_bar(index, use) for index, use in enumerate(fit.cards)]
    legend = Text("  ")
    for name, shape, colour in PARTS:
        legend.append(f"{shape} ", colour).append(f"{name}   ")
    if not fit.fits:
        legend.append("┃ end of the card")
    return [*bars, legend]


def _bar(index: int, use: CardUse) -> Text:
    """Scaled to the card, or to what is wanted where that is more; a stroke is the card's end."""
    sizes = (use.weights, use.overhead, use.kv, max(0, use.free))
    whole = max(use.usable, use.weights + use.overhead + use.kv)
    text = Text(f"  card {index}  ")
    end = round(use.usable / whole * BAR_WIDTH)
    done, filled = 0, 0
    for size, (_, shape, colour) in zip(sizes, PARTS, strict=True):
        done += size
        upto = round(done / whole * BAR_WIDTH)
        for position in range(filled, upto):
            if position == end and whole > use.usable:
                text.append("┃", "bold red")
            text.append(shape, colour)
        filled = upto
    text.append(f"  {use.usable / (1 << 30):.1f} GiB")
    return text


def _item(mark: str, colour: str, words: str) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(overflow="fold")
    grid.add_row(Text(mark, colour), Text(words))
    return Padding(grid, (0, 0, 0, 2))
