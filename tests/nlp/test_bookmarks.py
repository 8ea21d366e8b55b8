from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.bookmarks import BookmarkConfig, find_bookmarks, may_hold_bookmarks, sizes_mm
from nlp.errors import InputError

H, M, S, P = "hyperlink", "measurement", "slice", "prior"

# Text -> (kind, the words marked). One could argue about many of them.
MARKS = [
    # hyperlinks
    ("Unchanged large nodule BOOKMARK in the lobe.", [(H, "BOOKMARK")]),
    ("Nodes BOOKMARK, OTHER_BMK.", [(H, "BOOKMARK"), (H, "OTHER_BMK")]),
    ("A mass [[Image 4/32]] is new.", [(H, "[[Image 4/32]]")]),
    ('A <a href="pacs://x">nodule</a> is new.', [(H, '<a href="pacs://x">nodule</a>')]),
    ("A [2.1 cm mass](pacs://1) is new.", [(H, "[2.1 cm mass](pacs://1)")]),
    # sizes
    ("A 2.3 x 2.1 cm node", [(M, "2.3 x 2.1 cm")]),
    ("9mm node", [(M, "9mm")]),
    ("3 × 2 × 1 cm", [(M, "3 × 2 × 1 cm")]),
    ("1.2 by 0.8 cm", [(M, "1.2 by 0.8 cm")]),
    ("2-3 mm nodules", [(M, "2-3 mm")]),
    ("nodules of 3 to 5 mm", [(M, "3 to 5 mm")]),
    ("a sub-5 mm nodule", [(M, "5 mm")]),
    ("a 14-mm node", [(M, "14-mm")]),
    ("measures 4 centimeters.", [(M, "4 centimeters")]),
    ("2.3 cm (AP) x 2.1 cm (TR) mass", [(M, "2.3 cm (AP) x 2.1 cm (TR)")]),
    ("4 and 6 mm nodules", [(M, "4"), (M, "6 mm")]),
    ("a 17x11 (16x12 mm previously) mass", [(M, "17x11"), (P, "16x12 mm")]),
    ("2 cm superior to inferior × 3 cm", [(M, "2 cm superior to inferior × 3 cm")]),
    (
        "20x15 mm in the axial plane, 30 mm in the craniocaudal length",
        [(M, "20x15 mm in the axial plane, 30 mm")],
    ),
    # slices
    ("A node (series 4, image 32).", [(S, "(series 4, image 32)")]),
    ("A node (4:32).", [(S, "(4:32)")]),
    ("A node, IMA 8-34.", [(S, "IMA 8-34")]),
    ("A node on image 18 of series 3.", [(S, "image 18 of series 3")]),
    ("A node [4:32].", [(S, "[4:32]")]),
    ("A node (image 4/32).", [(S, "(image 4/32)")]),
    ("A node of 9 mm (4/32) is new", [(M, "9 mm (4/32)")]),
    # size and slice at once
    ("A 9 mm node (4:32)", [(M, "9 mm"), (S, "(4:32)")]),
    ("A node of 9 mm (series 4, image 32) is new", [(M, "9 mm (series 4, image 32)")]),
    ("A node of 9 mm on image 32 is new", [(M, "9 mm on image 32")]),
    # earlier studies
    ("now 2.3 cm, previously 2.1 cm", [(M, "2.3 cm"), (P, "2.1 cm")]),
    ("2.5 cm versus 2.3 x 2.1 cm previously", [(M, "2.5 cm"), (P, "2.3 x 2.1 cm")]),
    ("has grown from 1.9 cm to 2.3 cm", [(P, "1.9 cm"), (M, "2.3 cm")]),
    ("increased from 1.9 to 2.3 cm", [(P, "1.9"), (M, "2.3 cm")]),
    ("9 mm (prior 7 mm)", [(M, "9 mm"), (P, "7 mm")]),
    ("nodules ranging from 2 mm to 8 mm", [(M, "2 mm to 8 mm")]),
    ("14 mm (was 12 mm)", [(M, "14 mm"), (P, "12 mm")]),
    ("It was 8 mm on 3/12/2019.", [(P, "8 mm")]),
    ("On the prior CT it measured 2.3 cm.", [(P, "2.3 cm")]),
    ("A node seen on the prior CT measures 2.3 cm.", [(M, "2.3 cm")]),
    # none of them a lesion's size
    ("has grown by 6 mm", []),
    ("duct displaced by 3 cm mass", [(M, "3 cm")]),
    ("5 mm midline shift", []),
    ("retraction of 6 cm", []),
    ("IMG2816 US ABDOMEN", []),
    ("3 cm above the carina", []),
    ("slice thickness 1.25 mm", []),
    ("5 mm axial slices were obtained", []),
    ("120 mL of contrast, 45 HU, SUV 4.2", []),
    ("a volume of 30 cm3", []),
    ("on 3/12/2019 at 10:45", []),
    ("grade 3 of 5", []),
    ("L4-5 disc", []),
    ("a score of 3-4", []),
]


@pytest.mark.parametrize(("text", "expected"), MARKS)
def test_marks(text, expected):
    assert [(b.kind, text[b.start : b.end]) for b in find_bookmarks(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2.3 x 2.1 cm", (23.0, 21.0)),
        ("9mm", (9.0,)),
        ("3 × 2 × 1 cm", (30.0, 20.0, 10.0)),
        ("2 cm x 8 mm", (20.0, 8.0)),
        ("1,5 cm", (15.0,)),
        (".8 cm", (8.0,)),
        ("2-3 mm", (2.0, 3.0)),
        ("4 centimetres", (40.0,)),
    ],
)
def test_sizes_are_in_mm(text, expected):
    assert sizes_mm(text) == expected


def test_a_slice_reference_keeps_series_and_images():
    (found,) = find_bookmarks("A node (series 4, images 32 and 33).")
    assert (found.series, found.images) == (4, (32, 33))


def test_the_earlier_number_takes_the_unit_behind_it():
    earlier, now = find_bookmarks("increased from 1.9 to 2.3 cm")
    assert (earlier.sizes_mm, now.sizes_mm) == ((19.0,), (23.0,))


def test_hyperlinks_can_be_configured():
    config = BookmarkConfig(hyperlinks=(r"@@\d+",))
    assert [b.kind for b in find_bookmarks("A node @@17, BOOKMARK.", config)] == [H]
    with pytest.raises(InputError, match="no regular expression"):
        find_bookmarks("x", BookmarkConfig(hyperlinks=("(",)))


NEAR = st.sampled_from(
    ["2.3", " x ", "cm", " mm", "9", "-", "(", "4:32", ")", "series ", "image ", "previously ",
     "from ", "to ", "BOOKMARK", "[[", "]]", " and ", ".", "×", "é", "ⅳ", "²", "[", "/", "was "]
)  # fmt: skip


@given(st.lists(NEAR, max_size=14).map("".join))
def test_marks_are_ordered_apart_and_inside_the_text(text):
    found = find_bookmarks(text)
    assert all(0 <= b.start < b.end <= len(text) for b in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert [b.id for b in found] == [f"B{i}" for i in range(1, len(found) + 1)]
    assert all(size >= 0 for b in found for size in b.sizes_mm)


@given(st.lists(NEAR, max_size=14).map("".join))
def test_the_cheap_look_misses_nothing(text):
    if find_bookmarks(text):
        assert may_hold_bookmarks(text)


@given(st.text(max_size=200))
def test_any_text_can_be_searched(text):
    find_bookmarks(text)


@pytest.mark.parametrize(
    "piece", ["1 x ", "image 1, ", "(4:32) ", "from 2 cm ", "[[", "previously ", "increased by "]
)
def test_no_text_takes_forever(piece):
    find_bookmarks(piece * 3000)
