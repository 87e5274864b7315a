"""Cards and boxes: what is taken, and what is refused with every reason."""

from __future__ import annotations

import pytest

from fortyninety.cards.known import cards_by_name
from fortyninety.fit.allocator import MIB
from fortyninety.fit.errors import ShapeError
from fortyninety.fit.shape import Box, Card, Shape, cell_problems, make_shape, parse_cards


def box(*memory: int, name: str = "", engine: str | None = None) -> Box:
    return Box(tuple(Card.of_memory(each) for each in memory), name, engine)


def test_a_card_has_what_cuda_calls_its_total_memory() -> None:
    # Measured: 480 MiB reserved of the H100, 616 of the H200; owners' 4090s have 23.64 GiB.
    assert Card.of_memory(24564).usable / (1 << 30) == pytest.approx(23.64, abs=0.02)
    assert Card.of_memory(81559).usable <= (81559 - 480) * MIB
    assert Card.of_memory(143771).usable <= (143771 - 616) * MIB


@pytest.mark.parametrize(
    ("text", "boxes"),
    [("2x24564", [2]), ("24564", [1]), ("1x24564,1x24564", [1, 1]), ("2x24564, 2x24564", [2, 2])],
)
def test_cards_are_written_as_people_count_them(text: str, boxes: list[int]) -> None:
    assert [len(each.cards) for each in parse_cards(text)] == boxes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0x24564", "a box with 0 cards"),
        ("17x24564", "expected 1 to 16"),
        ("2x24", "a card of 24 MiB"),
        (
            "2x5080",
            "a card of 5080 MiB in '2x5080'; expected 7168 to 1048576 MiB, or a card's name",
        ),
        ("2x4090 Super", r"expected COUNTxMIB such as 2x24564 or COUNTxCARD \(4090, 4090 D, "),
        ("4090\x1b[2J", r"cards is '4090\\x1b\[2J'; expected"),
        ("two", "expected COUNTxMIB such as 2x24564"),
        ("", "expected COUNTxMIB"),
    ],
)
def test_cards_that_are_none_are_refused(text: str, expected: str) -> None:
    with pytest.raises(ShapeError, match=expected):
        parse_cards(text, cards_by_name())


@pytest.mark.parametrize(
    ("text", "memory"),
    [
        ("2x4090", 24564),
        ("2xRTX 4090", 24564),
        ("2xnvidia-geforce-rtx-4090-d", 24564),
        ("2x4090-48gb", 49140),
        ("2x6000ada", 49140),
        ("2x3090", 24576),
        ("2xRTX 5090", 32607),
        ("2xpro-6000", 97887),
        ("2x46068", 46068),
    ],
)
def test_a_card_is_taken_by_its_name(text: str, memory: int) -> None:
    (box,) = parse_cards(text, cards_by_name())
    assert [card.usable for card in box.cards] == [Card.of_memory(memory).usable] * 2


def split(shape: Shape) -> tuple[int, int]:
    return shape.tensor_parallel, shape.pipeline_parallel


def test_the_cards_of_a_box_are_tensor_parallel_and_boxes_are_stages() -> None:
    assert split(make_shape(parse_cards("4x24564"))) == (4, 1)
    assert split(make_shape(parse_cards("1x24564,1x24564,1x24564"))) == (1, 3)
    assert split(make_shape(parse_cards("2x24564,2x24564"))) == (2, 2)
    assert split(make_shape(parse_cards("2x24564"), 1, 2)) == (1, 2)
    assert split(make_shape(parse_cards("4x24564"), 2)) == (2, 1)


@pytest.mark.parametrize(
    ("boxes", "sizes", "expected"),
    [
        ([], (None, None), "there are no cards"),
        ([box()], (None, None), "there are no cards"),
        ([box(24564), box()], (None, None), "box 2 has no cards"),
        ([box(0, 0)], (None, None), "says that it has no memory"),
        ([box(24564, 16376)], (None, None), "the cards have different sizes"),
        ([box(24564), box(24564, 24564)], (None, None), "the boxes have 1 and 2 cards"),
        ([box(24564), box(24564)], (2, None), "at most the 1 cards of a box"),
        ([box(24564, 24564)], (2, 2), "needs 4 cards; there are 2"),
        ([box(24564), box(24564)], (1, 1), "expected a multiple of the 2 boxes"),
        (
            [box(24564, engine="0.32.0"), box(24564, engine="0.33.0")],
            (None, None),
            r"different engine releases \(box 1 0.32.0, box 2 0.33.0\)",
        ),
    ],
)
def test_a_shape_that_nothing_serves_from_is_refused(
    boxes: list[Box], sizes: tuple[int | None, int | None], expected: str
) -> None:
    with pytest.raises(ShapeError, match=expected):
        make_shape(boxes, *sizes)


def test_everything_wrong_with_a_cell_is_said_at_once() -> None:
    members = [box(24564, name="a", engine="0.32.0"), box(16376, name="b", engine="0.8.5.post1")]
    first, second = cell_problems(members)
    assert "different sizes" in first
    assert "(a 0.32.0, b 0.8.5.post1)" in second


def test_a_cell_of_one_is_refused_and_one_of_two_is_not() -> None:
    assert cell_problems([box(24564, name="a")]) == [
        "the cell has one member, a; expected two or more"
    ]
    assert cell_problems([box(24564), box(24564)]) == []
