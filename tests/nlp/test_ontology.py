import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.errors import InputError
from nlp.ontology import DEFAULT_TABLE, Ontology, fold

HEADER = "term,class,label,parents,exclusive,synonyms\n"


@pytest.fixture
def table(tmp_path):
    def write(*rows):
        path = tmp_path / "labels.csv"
        path.write_text(HEADER + "".join(f"{row}\n" for row in rows), encoding="utf-8")
        return path

    return write


def test_the_shipped_table_has_the_labels_of_the_paper(ontology):
    kinds = [ontology[name].kind for name in ontology.labels]
    assert len(ontology.labels) == 171
    assert [kinds.count(k) for k in ("bodypart", "type", "attribute")] == [115, 27, 29]
    assert sum(len(ontology.direct_parents[name]) for name in ontology.labels) == 137


def test_exclusions_are_the_published_pairs_less_the_one_decided_otherwise(ontology):
    """4,460 in the paper's list; pretracheal nodes do lie in the superior mediastinum."""
    assert sum(map(len, ontology.exclusions.values())) // 2 == 4459
    excluded = ontology.exclusions["pretracheal lymph node"]
    assert "superior mediastinum lymph node" not in excluded


def test_a_label_excludes_neither_itself_nor_its_branch(ontology):
    for name in ontology.labels:
        assert not ontology.exclusions[name] & {name, *ontology.ancestors[name]}


def test_exclusions_are_symmetric_and_hold_below(ontology):
    for a in ontology.labels:
        for b in ontology.exclusions[a]:
            assert a in ontology.exclusions[b]
    assert "left kidney" in ontology.exclusions["right lung"]


def test_ancestors_are_closed(ontology):
    for name, above in ontology.ancestors.items():
        assert name not in above
        for ancestor in above:
            assert ontology.ancestors[ancestor] <= above


@given(data=st.data())
def test_expanding_twice_changes_nothing(ontology, data):
    labels = data.draw(st.sets(st.sampled_from(ontology.labels), max_size=6))
    expanded = ontology.expand(labels)
    assert labels <= expanded
    assert ontology.expand(expanded) == expanded


def test_conflicts_are_the_exclusive_pairs():
    ontology = Ontology.from_csv()
    labels = ["left lung", "right lung", "nodule"]
    assert ontology.conflicts(labels) == [("left lung", "right lung")]
    assert ontology.conflicts(["lung", "left lung", "nodule"]) == []


def test_no_synonym_has_two_owners(ontology):
    phrases = [fold(p) for t in ontology.terms.values() for p in {*map(fold, t.phrases)}]
    assert len(phrases) == len(set(phrases))


def test_every_row_that_differs_from_the_published_list_is_noted():
    with DEFAULT_TABLE.open(encoding="utf-8") as lines:
        assert next(lines).strip() == ("term,class,label,parents,exclusive,synonyms,radlex_id,note")
    noted = [t for t in Ontology.from_csv().terms.values() if t.note]
    assert len(noted) > 10


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["a,type,yes,b,,"], "row 2: 'a' has the parent 'b', which has no row"),
        (["a,type,yes,,b,"], "row 2: 'a' has the exclusive term 'b', which has no row"),
        (["a,type,yes,b,,", "b,type,yes,a,,"], "'a' is its own ancestor: a -> b -> a"),
        (["a,type,yes,a,,"], "'a' is its own ancestor: a -> a"),
        (["a,type,yes,,,", "a,type,yes,,,"], "row 3: 'a' stands in row 2 already"),
        (["a,type,yes,,,x", "b,type,yes,,,X"], "row 3: 'X' stands for 'b' and, in row 2, for 'a'"),
        (["a,shape,yes,,,"], "'a' has class 'shape'"),
        ([",type,yes,,,"], "row 2: no term"),
    ],
)
def test_a_faulty_table_is_refused_with_row_and_term(table, rows, said):
    path = table(*rows)
    with pytest.raises(InputError, match=re.escape(said)):
        Ontology.from_csv(path)


def test_all_faults_are_listed_at_once(table):
    path = table("a,type,yes,b,,", "c,type,yes,d,,")
    with pytest.raises(InputError) as refused:
        Ontology.from_csv(path)
    assert "2 problems" in str(refused.value)
    assert "'b'" in str(refused.value)
    assert "'d'" in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"name,kind\nx,y\n", b"\xff\xfe\x00"])
def test_a_file_that_is_no_table_is_refused(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"labels\.csv"):
        Ontology.from_csv(path)


def test_the_published_column_names_are_read_too(tmp_path):
    path = tmp_path / "published.csv"
    path.write_text(
        "id,term,class,term_parents,term_exclusive,synonyms\n"
        "1,organ,bodypart,,,\n2,spleen,bodypart,organ,,splenic\n",
        encoding="utf-8",
    )
    ontology = Ontology.from_csv(path)
    assert ontology.labels == ("organ", "spleen")
    assert ontology.ancestors["spleen"] == {"organ"}


def test_a_finer_phrase_states_the_labels_above_it(table):
    path = table("organ,bodypart,yes,,,", "part,bodypart,no,organ,,", "tip,bodypart,no,part,,")
    ontology = Ontology.from_csv(path)
    assert ontology.labels == ("organ",)
    assert ontology.stated_labels("tip") == ("organ",)


def test_the_digest_tells_a_changed_synonym_but_no_note(table):
    one = Ontology.from_csv(table("a,type,yes,,,x")).digest
    other = Ontology.from_csv(table("a,type,yes,,,y")).digest
    assert one != other
    assert one == Ontology.from_csv(table("a,type,yes,,,x")).digest


def test_same_branch_is_up_and_down_but_not_across(ontology):
    assert ontology.same_branch("lung", "left lung")
    assert ontology.same_branch("left lung", "lung")
    sides = [n for n in ontology.labels if n in ("left lung", "right lung")]
    assert not any(ontology.same_branch(a, b) for a, b in combinations(sides, 2))
