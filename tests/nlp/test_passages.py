from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.bookmarks import BookmarkConfig
from nlp.passages import assign_lesions, find_passages, match_labels
from nlp.records import Bookmark, Report


def passages_of(text, lesion_ids=()):
    report = Report(report_id="R", patient_id="P", text=text, lesion_ids=lesion_ids)
    counts = Counter()
    return list(find_passages([report], BookmarkConfig(), counts)), counts


def test_only_sentences_with_a_bookmark_of_this_study_are_kept():
    found, counts = passages_of("Liver normal. A 9 mm node. Previously 7 mm.")
    assert [p.sentence.text for p in found] == ["A 9 mm node."]
    assert counts["reports"] == 1
    assert counts["sentences"] == 3
    assert (counts["bookmarks"], counts["priors"]) == (1, 1)


def test_bookmarks_are_numbered_through_the_report():
    found, _ = passages_of("A 9 mm node. A cyst of 2 cm, previously 1 cm. BOOKMARK mass.")
    assert [b.id for p in found for b in p.bookmarks] == ["B1", "B2", "B3", "B4"]


@given(st.lists(st.sampled_from(["9 mm node. ", "Cyst ", "BOOKMARK", "\n", "é", "(4:32)"])))
def test_offsets_point_into_the_report(pipeline, pieces):
    text = "".join(pieces)
    found, counts = passages_of(text)
    for passage in match_labels(found, pipeline, counts):
        sentence = passage.sentence
        assert text[sentence.start : sentence.end] == sentence.text
        for span in (*passage.bookmarks, *passage.mentions, *passage.tokens):
            assert sentence.start <= span.start < span.end <= sentence.end
        assert all(text[t.start : t.end] == t.text for t in passage.tokens)


def mark(name, kind):
    return Bookmark(id=name, start=0, end=1, kind=kind)


@pytest.mark.parametrize(
    ("kinds", "number", "expected"),
    [
        ("hyperlink measurement hyperlink", 2, {"B1": "L1", "B3": "L2"}),
        ("measurement prior slice", 2, {"B1": "L1", "B3": "L2"}),
        ("measurement prior", 2, {"B1": "L1", "B2": "L2"}),
        ("measurement measurement", 3, {}),
        ("", 0, {}),
    ],
)
def test_lesions_belong_to_hyperlinks_else_to_bookmarks(kinds, number, expected):
    marks = [mark(f"B{i}", kind) for i, kind in enumerate(kinds.split(), start=1)]
    assert assign_lesions(marks, [f"L{i}" for i in range(1, number + 1)]) == expected


def test_lesions_that_fit_no_bookmarks_are_counted():
    _, counts = passages_of("A 9 mm node.", lesion_ids=("L1", "L2"))
    assert counts["lesion_mismatches"] == 1


def test_a_short_form_of_the_report_counts_in_later_sentences(pipeline):
    found, counts = passages_of("The left adrenal gland (LAG) is thick. LAG 9 mm.")
    (passage,) = match_labels(found, pipeline, counts)
    assert [(m.term, m.rule) for m in passage.mentions] == [("left adrenal gland", "abbreviation")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TECHNIQUE: Axial images, 3 mm.", []),
        ("TECHNIQUE: Portal venous phase. 2.5 mm.", []),
        ("TECH: CT. 80 mL contrast and 3 mm cuts.", []),
        ("TECHNIQUE: Axial, 3 mm.\r\n\r\nA 3 cm mass is seen.", ["3 cm"]),
        ("TECHNIQUE: CT with contrast.\nThere is a 3 cm mass.", ["3 cm"]),
        ("TECHNIQUE: CT. FINDINGS: 3 mm nodule.", ["3 mm"]),
    ],
)
def test_lengths_of_the_technique_are_no_bookmarks(text, expected):
    report = Report(report_id="R", patient_id="P", text=text)
    passages = find_passages([report], BookmarkConfig(), Counter())
    assert [text[b.start : b.end] for p in passages for b in p.bookmarks] == expected
