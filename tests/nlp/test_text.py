from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.errors import InputError
from nlp.text import make_lemmatizer, resolve_lemmatizer, split_sentences, tokenize

# One could argue about each of these.
SPLITS = [
    ("A 2.3 cm. nodule is seen. No effusion.", ["A 2.3 cm. nodule is seen.", "No effusion."]),
    ("Nodule No. 4 is stable. Cyst.", ["Nodule No. 4 is stable.", "Cyst."]),
    ("1. Liver cyst.\n2. Splenic cyst.", ["Liver cyst.", "Splenic cyst."]),
    ("- node 9 mm\n- node 8 mm", ["node 9 mm", "node 8 mm"]),
    ("(a) Cyst\n(b) Mass", ["Cyst", "Mass"]),
    ("LUNGS: Clear.\nLIVER: Cyst.", ["LUNGS: Clear.", "LIVER: Cyst."]),
    ("LUNGS:\nA nodule.", ["LUNGS:\nA nodule."]),
    ("Seen by Dr. Who, e.g. on image 4. Stable.", ["Seen by Dr. Who, e.g. on image 4.", "Stable."]),
    ("A node measures 2.3 cm (Im. 4). Stable", ["A node measures 2.3 cm (Im. 4).", "Stable"]),
    ("Is this new? Yes! 9 mm.", ["Is this new?", "Yes!", "9 mm."]),
    (
        "One nodule in the right\nupper lobe. Clear",
        ["One nodule in the right\nupper lobe.", "Clear"],
    ),
    ("Nodule of 4 mm.Liver is normal.", ["Nodule of 4 mm.", "Liver is normal."]),
    ("A node of 4 mm.\n\nB node", ["A node of 4 mm.", "B node"]),
    ("Vitamin C. is low in St. Elsewhere", ["Vitamin C. is low in St. Elsewhere"]),
    (
        'A wall. " Cyst (simple) " Mass in "target" form',
        ["A wall.", "Cyst (simple)", 'Mass in "target" form'],
    ),
    (
        "new cyst (3:18). dense mass. node of 4 mm. in size",
        ["new cyst (3:18).", "dense mass. node of 4 mm. in size"],
    ),
    ("worse than before. new node", ["worse than before.", "new node"]),
    ("", []),
    (" \n\t ", []),
]


@pytest.mark.parametrize(("text", "expected"), SPLITS)
def test_sentences(text, expected):
    assert [s.text for s in split_sentences(text)] == expected


def test_a_sentence_knows_its_section_and_place():
    text = "HISTORY: Cough.\nFINDINGS:\nA nodule. A cyst.\nIMPRESSION:\n1. Nodule."
    found = [(s.section, s.text) for s in split_sentences(text)]
    assert found == [
        ("HISTORY", "Cough."),
        ("FINDINGS", "A nodule."),
        ("FINDINGS", "A cyst."),
        ("IMPRESSION", "Nodule."),
    ]


@given(st.text(alphabet=st.sampled_from("aB1.,:;()-\n \tx×2é☃?No"), max_size=120))
def test_sentences_are_slices_in_order_and_lose_no_letter(text):
    at, kept = 0, ""
    for sentence in split_sentences(text):
        assert text[sentence.start : sentence.end] == sentence.text
        assert sentence.text == sentence.text.strip() != ""
        assert sentence.start >= at
        at = sentence.end
        kept += sentence.text
    if not any(c in text for c in ":-.)("):  # headings and list markers are left out on purpose
        assert "".join(kept.split()) == "".join(text.split())


@given(st.text(max_size=200))
def test_any_text_can_be_split(text):
    for sentence in split_sentences(text):
        assert text[sentence.start : sentence.end] == sentence.text


def test_megabytes_on_one_line_take_no_time():
    text = "A node of 9 mm in the liver, and " * 30_000
    assert len(list(split_sentences(text))) == 1


@given(st.text(max_size=100))
def test_tokens_are_ordered_slices_that_cover_all_signs(text):
    spans = tokenize(text)
    assert all(a < b for a, b in spans)
    assert all(b <= c for (_, b), (c, _) in pairwise(spans))
    covered = {i for a, b in spans for i in range(a, b)}
    assert all(text[i].isspace() for i in range(len(text)) if i not in covered)


@pytest.mark.parametrize("name", ["lemminflect", "auto"])
@pytest.mark.parametrize(
    ("word", "lemma"),
    [("Nodules", "nodule"), ("biopsies", "biopsy"), ("cm", "cm"), ("mass", "mass")],
)
def test_plurals_become_singular(name, word, lemma):
    assert make_lemmatizer(name)(word) == lemma


def test_without_lemmas_words_are_lower_case():
    assert make_lemmatizer("none")("Nodules") == "nodules"


def test_an_unknown_lemmatizer_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="wordnet, lemminflect, none"):
        resolve_lemmatizer("stanza")
