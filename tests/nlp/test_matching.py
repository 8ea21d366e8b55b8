"""Which labels a text states: phrases, compositions, and words that only look like a label."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.components import load_pipeline
from nlp.compose import compose
from nlp.lexicon import Lexicon
from nlp.matching import match_texts, mentions_of

# Text -> the labels that its mentions name, ancestors not yet added.
STATED = [
    # plain synonyms, plurals, spelling, abbreviations, adjectives
    ("Nodules in the RLL", {"nodule", "right lower lobe"}),
    ("GGO in the LUL", {"ground-glass opacity", "left upper lung"}),
    ("groundglass opacities", {"ground-glass opacity"}),
    ("ground glass attenuation", {"ground-glass opacity"}),
    ("hepatic haemangioma", {"liver", "hemangioma"}),
    ("oesophageal thickening", {"chest", "thickening"}),
    ("an enlarged spleen", {"enlargement", "spleen"}),
    ("spiculation and cavitation", {"spiculated", "cavitary"}),
    ("splenomegaly", {"spleen", "enlargement"}),
    # the longest match wins
    ("mediastinal lymph node", {"mediastinum lymph node"}),
    ("left lower lobe", {"left lower lobe"}),
    # coordination
    ("right upper and lower lobes", {"right upper lobe", "right lower lobe"}),
    ("left and right adrenal glands", {"left adrenal gland", "right adrenal gland"}),
    ("the right and left kidneys", {"right kidney", "left kidney"}),
    # both sides
    (
        "bilateral adrenal nodules",
        {"adrenal gland", "left adrenal gland", "right adrenal gland", "nodule"},
    ),
    ("both kidneys", {"kidney", "left kidney", "right kidney"}),
    # inversion and split composites
    ("head of the pancreas", {"pancreatic head"}),
    ("node in the mediastinum", {"mediastinum lymph node", "mediastinum", "lymph node"}),
    ("mass of the liver", {"liver mass", "mass", "liver"}),
    ("cyst, 2 cm, left kidney", {"kidney cyst", "cyst", "left kidney"}),
    # hyphens and slashes
    ("subcarinal/hilar lymph nodes", {"subcarinal lymph node", "hilum lymph node"}),
    ("well-defined, non-enhancing mass", {"circumscribed", "nonenhancing", "mass"}),
    # words in another sense
    ("mass effect on the liver", {"liver"}),
    ("back to baseline", set()),
    ("fracture of the humeral neck", set()),
    ("medial leg of the right adrenal gland", {"right adrenal gland"}),
    ("node at the splenic hilum", {"lymph node", "spleen"}),
    ("cervical chain adenopathy", {"neck", "lymphadenopathy"}),
    ("loss of muscle mass", set()),
    # sides in short
    ("R adrenal mass", {"right adrenal gland", "mass"}),
    ("lt. kidney", {"left kidney"}),
    ("L spine", {"spine"}),
    ("post RT changes of the lung", {"lung"}),
    # a side goes with sides only
    ("left, neck base", {"neck"}),
    ("right and left base", {"right lung", "left lung", "lung base"}),
    ("mass-like consolidation", {"consolidation"}),
]


@pytest.mark.parametrize(("text", "expected"), STATED)
def test_labels(text, expected, pipeline):
    found = {m.term for m in mentions_of(pipeline(text))}
    assert found == expected


def test_labels_come_with_their_ancestors(pipeline, ontology):
    ((_, labels),) = match_texts(["2 cm nodule in the lingula"], pipeline, ontology)
    assert {"lingula", "left upper lung", "left lung", "lung", "chest", "nodule"} <= set(labels)
    assert labels == sorted(set(labels))


def test_a_mention_keeps_its_place_and_rule(pipeline):
    text = "Right upper and lower lobe nodules"
    found = {(text[m.start : m.end], m.term, m.rule) for m in mentions_of(pipeline(text))}
    assert ("nodules", "nodule", "synonym") in found
    assert {rule for _, term, rule in found if term.endswith("lobe")} == {"coordination"}


def test_an_offset_moves_all_mentions(pipeline):
    here = mentions_of(pipeline("liver cyst"))
    there = mentions_of(pipeline("liver cyst"), 100)
    assert [(m.start + 100, m.end + 100) for m in here] == [(m.start, m.end) for m in there]


WORDS = st.sampled_from(
    """left right upper lower lobe lung and , or of the in node lymph mediastinal hilar mass liver
    hepatic cyst bilateral kidneys adrenal - / 2 cm nodule posterior segment no ( ) é""".split()
)


@given(st.lists(WORDS, max_size=25).map(" ".join))
def test_mentions_lie_in_the_text_and_name_labels(pipeline, ontology, text):
    for mention in mentions_of(pipeline(text)):
        assert 0 <= mention.start < mention.end <= len(text)
        assert text[mention.start : mention.end].strip() == text[mention.start : mention.end]
        assert mention.term in ontology.label_index


@given(st.lists(WORDS, max_size=16).map(" ".join))
def test_case_does_not_matter(pipeline, text):
    lower = [(m.term, m.start, m.end) for m in mentions_of(pipeline(text))]
    upper = [(m.term, m.start, m.end) for m in mentions_of(pipeline(text.upper()))]
    assert lower == upper


@given(st.text(max_size=120))
def test_any_text_can_be_matched(pipeline, text):
    doc = pipeline(text)
    assert doc.text == text


def test_every_shipped_phrase_is_found(pipeline, ontology):
    """A synonym that its own matcher misses would be a dead entry."""
    missed = []
    for term in ontology.terms.values():
        if term.kind == "none":
            continue
        for phrase in term.phrases:
            found = {m.term for m in mentions_of(pipeline(phrase))}
            if not set(ontology.stated_labels(term.name)) <= found:
                missed.append((term.name, phrase))
    assert missed == []


def test_compositions_only_name_listed_phrases(ontology):
    lexicon = Lexicon.build(ontology, str.lower)
    words = "purple and green lobes".split()
    assert compose(words, [], lexicon) == []


def test_components_survive_saving_and_loading(tmp_path, pipeline):
    import spacy

    pipeline.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    text = "Bilateral adrenal nodules and a 2 cm node in the mediastinum"
    assert mentions_of(again(text)) == mentions_of(pipeline(text))


def test_pieces_work_in_a_spacy_pipeline_of_the_users_own():
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("noun_lemmatizer")
    nlp.add_pipe("label_matcher", config={"spans_key": "lesions"})
    nlp.add_pipe("bookmark_finder")
    doc = nlp("Nodules of the left lower lobe, 2.3 x 2.1 cm.")
    assert [(s.text, s.label_) for s in doc.spans["lesions"]] == [
        ("Nodules", "nodule"),
        ("left lower lobe", "left lower lobe"),
    ]
    assert [(s.text, s.label_) for s in doc.spans["bookmarks"]] == [("2.3 x 2.1 cm", "measurement")]


def test_another_label_table_brings_its_own_labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("term,class,synonyms\nsella,bodypart,sella turcica\n", encoding="utf-8")
    pipeline = load_pipeline(ontology=str(path), lemmatizer="none")
    assert [m.term for m in mentions_of(pipeline("Mass in the sella turcica"))] == ["sella"]
