"""Reading order on layouts made for the purpose."""

from __future__ import annotations

import pytest

from ocrq.layout import page_text, reading_order
from ocrq.result import Box, Line, Word
from tests.lines import CHAR, PITCH, column, line, order, prose, skewed, texts


def test_one_column_is_read_from_top_to_bottom() -> None:
    """Ragged edges and indents do not make columns."""
    page = column(prose("a", 12, 60), 100, 100)
    page += column(prose("b", 9, 60), 140, 100 + 13 * PITCH)
    assert order(page) == texts(page)


@pytest.mark.parametrize("gutter", [12, 30, 120])
@pytest.mark.parametrize("offset", [0, 3, 14])
def test_two_columns_are_not_interleaved(gutter: int, offset: int) -> None:
    """Whether their baselines agree or not, and however narrow the gutter."""
    left = column(prose("a", 20), 100, 100)
    right = column(prose("b", 18), 100 + 34 * CHAR + gutter, 100 + offset)
    assert order(left + right) == texts(left, right)


def test_three_columns_below_a_title_over_two_of_them() -> None:
    """The title belongs to what it spans; the third column stands alone."""
    title = [line("Title over the first two columns of the page", 120, 40, height=32)]
    columns = [column(prose(name, 15), 100 + 400 * index, 120) for index, name in enumerate("ab")]
    third = column(prose("c", 18), 900, 40)
    assert order([*title, *columns[0], *columns[1], *third]) == texts(title, *columns, third)


def test_title_header_and_page_number_stand_outside_the_columns() -> None:
    """Set apart by white space they come first and last, even when they cross no gutter."""
    header = [line("Journal of Samples", 100, 20), line("May 2026", 700, 20)]
    title = [line("A title across both columns of the page", 150, 100, height=36)]
    left, right = column(prose("a", 16), 100, 190), column(prose("b", 16), 500, 190)
    footer = [line("12", 480, 190 + 19 * PITCH)]
    assert order(header + title + left + right + footer) == texts(header, title, left, right, footer)


def test_a_heading_between_ends_the_columns_above_it() -> None:
    """What stands over a heading is read before it, both columns of it."""
    upper = column(prose("a", 8), 100, 100), column(prose("b", 8), 500, 100)
    heading = [line("A heading that spans the two columns of text", 180, 100 + 9 * PITCH)]
    lower = column(prose("c", 8), 100, 100 + 11 * PITCH), column(prose("d", 8), 500, 100 + 11 * PITCH)
    page = [*upper[0], *upper[1], *heading, *lower[0], *lower[1]]
    assert order(page) == texts(*upper, heading, *lower)


def test_a_figure_in_one_column_does_not_break_it() -> None:
    """White space within a column is no reason to change columns."""
    left = column(prose("a", 6), 100, 100) + column(prose("b", 6), 100, 600)
    right = column(prose("c", 24), 500, 100)
    assert order(left + right) == texts(left, right)


def test_two_columns_over_three() -> None:
    """Each part of a page has gutters of its own."""
    upper = [column(prose(name, 10, 50), x, 100) for name, x in (("a", 100), ("b", 660))]
    lower = [column(prose(name, 10, 30), x, 460) for name, x in (("c", 100), ("d", 460), ("e", 820))]
    assert order([line for part in upper + lower for line in part]) == texts(*upper, *lower)


def test_a_sidebar_of_short_lines_is_a_column() -> None:
    """Short lines that do not share the baselines of the text beside them are read for themselves."""
    main = column(prose("a", 24, 50), 320, 100)
    sidebar = column(["Short note", "by the editor", "of this page", "about words", "and more"], 100, 140, pitch=24)
    assert order(main + sidebar) == texts(sidebar, main)


def test_a_receipt_is_read_row_by_row() -> None:
    """A column of prices belongs to its items."""
    items = ["Rye bread", "Oat milk 2 x 1.45", "Apples", "Goat cheese", "Olive oil", "TOTAL"]
    prices = ["3.20", "2.90", "3.48", "4.75", "8.90", "23.23"]
    page = []
    for row, (item, price) in enumerate(zip(items, prices, strict=True)):
        page += [line(item, 60, 100 + row * 40), line(price, 560 - len(price) * CHAR, 103 + row * 40)]
    assert page_text(reading_order(page)).splitlines() == [f"{a} {b}" for a, b in zip(items, prices, strict=True)]


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize("degrees", [-1.5, 1.5])
def test_a_slanted_receipt_is_read_row_by_row(degrees: float, words: bool) -> None:
    """The price stands a third of a line higher or lower than its item, and still belongs to it."""
    page, rows = [], []
    for row in range(12):
        item, price = f"item number {row} of", f"{row},99"
        rows.append(f"{item} {price}")
        page += [line(item, 60, 100 + row * 40), line(price, 420, 100 + row * 40)]
    assert page_text(reading_order(skewed(page, degrees, words=words))).splitlines() == rows


def test_a_table_of_words_is_read_row_by_row() -> None:
    """Cells share baselines and do not fill their columns, unlike prose."""
    cells = [
        ("Name", "Town", "Trade"),
        ("Ada Quill", "Port Ellery", "baker"),
        ("Ben Marlow", "Ashby", "smith and farrier"),
        ("Cleo Hart", "Upper Wexcombe", "carpenter"),
        ("Dora Bell", "Gull Island", "keeper"),
    ]
    page = [line(cell, 100 + 300 * x, 100 + 40 * y) for y, row in enumerate(cells) for x, cell in enumerate(row)]
    assert page_text(reading_order(page)).splitlines() == [" ".join(row) for row in cells]


def test_a_table_of_long_cells_is_read_row_by_row() -> None:
    """Cells of several words are still no prose when they do not fill their column."""
    left = [
        "to mend a boot with care",
        "to sole the boot",
        "to bind an atlas of 64 maps and plates",
        "to cut a brass key",
        "to oil the clock",
    ]
    right = [
        "done by the cobbler",
        "done by him too",
        "done by the binder in Harbour Street",
        "done by the smith",
        "done by yourself",
    ]
    rows = list(zip([*left, *left], [*right, *right], strict=True))
    page = [line(text, 100 + 420 * x, 100 + 40 * y) for y, row in enumerate(rows) for x, text in enumerate(row)]
    assert page_text(reading_order(page)).splitlines() == [" ".join(row) for row in rows]


def test_prices_beside_items_of_uneven_height_stay_with_them() -> None:
    """Numbers are never a column of text, even where they share no baselines."""
    page: list[Line] = []
    for index, (height, shift) in enumerate([(3, 40), (2, 12), (3, 30), (2, 16), (3, 36), (2, 10)]):
        y = 100 + 110 * index
        page += column([f"item {index} part {row}" for row in range(height)], 60, y)
        page.append(line(f"{index}.50", 500, y + shift))
    found = order(page)
    for index in range(6):
        last = found.index(f"item {index + 1} part 0") if index < 5 else len(found)
        assert found.index(f"item {index} part 0") < found.index(f"{index}.50") < last


def test_a_wide_slanted_receipt_is_read_row_by_row() -> None:
    """Where the price stands level with the next item, the words tell the slant."""
    rows = [(f"item number {row} of", f"{row},99") for row in range(12)]
    page = [line(text, (60, 1000)[x], 100 + row * 36) for row, cells in enumerate(rows) for x, text in enumerate(cells)]
    assert page_text(reading_order(skewed(page, 2.0))).splitlines() == [" ".join(cells) for cells in rows]


def test_a_form_is_read_row_by_row() -> None:
    """Each label with its value."""
    rows = [("Name:", "Edith Marlow"), ("Street:", "The Old Rectory"), ("Town:", "Upper Wexcombe"), ("Age:", "71")]
    page = [line(text, 100 + 250 * x, 100 + 40 * y) for y, row in enumerate(rows) for x, text in enumerate(row)]
    assert page_text(reading_order(page)).splitlines() == [" ".join(row) for row in rows]


@pytest.mark.parametrize("degrees", [-2.0, -0.7, 0.7, 2.0])
def test_slanted_columns_are_not_interleaved(degrees: float) -> None:
    """Over a long page even a small slant moves a column by more than the gutter."""
    left, right = column(prose("a", 60), 100, 100), column(prose("b", 60), 460, 100)
    assert order(skewed(left + right, degrees)) == texts(left, right)


def test_a_line_read_across_the_gutter_is_split() -> None:
    """Detectors join lines over a narrow gutter; the word boxes show where to cut."""
    left, right = column(prose("a", 12), 100, 100), column(prose("b", 12), 460, 100)
    a, b = left[3], right[3]
    joined = Line(f"{a.text} {b.text}", Box(a.box.x0, a.box.y0, b.box.x1, b.box.y1), a.words + b.words, 0.9)
    page = left[:3] + left[4:] + right[:3] + right[4:] + [joined]
    found = reading_order(page)
    assert [line.text for line in found] == texts(left, right)
    assert found[3].words == a.words
    assert found[3].confidence == 0.9


def test_columns_of_chinese_are_not_interleaved() -> None:
    """A line of prose is no single word for want of spaces."""
    left = [Line("海港委員會回答說從來沒有鯡魚", Box(100, y, 380, y + 20), ()) for y in range(100, 400, 28)]
    right = [Line("在一千八百十一年第一盞燈點亮", Box(410, y, 690, y + 20), ()) for y in range(100, 400, 28)]
    assert order(left + right) == texts(left, right)


def test_a_heading_is_not_split_at_a_gap_over_the_gutter() -> None:
    """Its type is larger, so it belongs to both columns."""
    heading = line("What Kids", 150, 70, height=40)
    rest = line("Need Most", 480, 70, height=40)
    both = Line("What Kids Need Most", Box(150, 70, rest.box.x1, 110), heading.words + rest.words)
    left, right = column(prose("a", 12), 100, 120), column(prose("b", 12), 470, 120)
    assert order([both, *left, *right]) == texts([both], left, right)


def test_a_line_is_not_split_at_a_usual_gap() -> None:
    """In a justified line over both columns some word begins near the second column by chance."""
    words = [Word("words", Box(x, 80, x + 50, 100)) for x in range(110, 800, 69)]
    assert any(abs(word.box.x0 - 460) < 10 for word in words)
    over_both = Line("words " * len(words), Box(110, 80, words[-1].box.x1, 100), tuple(words))
    left, right = column(prose("a", 12), 100, 108), column(prose("b", 12), 460, 108)
    assert order([over_both, *left, *right]) == texts([over_both], left, right)
