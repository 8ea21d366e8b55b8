"""The label space and the targets: against the rules applied one lesion at a time, in sets."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision.errors import InputError
from vision.labels import LabelSpace, check_label_names
from vision.targets import targets_of

NAMES = ("chest", "lung", "left lung", "liver", "nodule")
ANCESTORS = ([], [0], [0, 1], [], [])
EXCLUSIVES = ([3], [3], [3], [0, 1, 2], [])


@pytest.fixture
def space():
    classes = ("bodypart",) * 4 + ("type",)
    return LabelSpace.from_index_lists(NAMES, classes, ANCESTORS, EXCLUSIVES)


def mask(labels):
    """The labels of one lesion. Shape: (1, C)."""
    return torch.tensor([[name in labels for name in NAMES]])


def named(row):
    return {NAMES[i] for i in row.nonzero().flatten().tolist()}


def random_space(size, seed):
    """A forest of labels and some exclusions between trees, closed over descendants."""
    rng = torch.Generator().manual_seed(seed)
    above = [set() for _ in range(size)]
    for label in range(1, size):
        parent = int(torch.randint(-1, label, (), generator=rng))
        if parent >= 0:
            above[label] = {parent, *above[parent]}
    excluded = [set() for _ in range(size)]
    for _ in range(size):
        a, b = torch.randint(size, (2,), generator=rng).tolist()
        for c in (c for c in range(size) if a in {c, *above[c]}):
            for d in (d for d in range(size) if b in {d, *above[d]}):
                if c != d and c not in above[d] and d not in above[c]:
                    excluded[c].add(d)
                    excluded[d].add(c)
    names = [f"label {i}" for i in range(size)]
    lists = ([sorted(s) for s in above], [sorted(s) for s in excluded])
    return LabelSpace.from_index_lists(names, ["type"] * size, *lists), above, excluded


def slow_targets(relevant, uncertain, irrelevant, above, excluded, positives, expansion):
    """The rules of the reference for one lesion, as sets: positive, ignored, reliable."""
    counted = {"R": relevant, "U": uncertain, "I": irrelevant}
    positive = set().union(*(counted[letter] for letter in positives))
    if expansion:
        positive |= {a for label in positive for a in above[label]}
    contradicted = {e for label in positive for e in excluded[label]}
    doubtful = uncertain | {a for label in uncertain for a in above[label]}
    return positive, doubtful - positive - contradicted, positive | contradicted


spaces = st.tuples(st.integers(1, 9), st.integers(0, 2**16))


@given(spaces, st.integers(0, 5), st.sampled_from(["R", "RU", "RUI"]), st.booleans())
def test_targets_match_the_rules(drawn, n, positives, expansion):
    size, seed = drawn
    space, above, excluded = random_space(size, seed)
    rng = torch.Generator().manual_seed(seed)
    lists = (torch.rand(3, n, size, generator=rng) < 0.3).unbind()

    targets = targets_of(*lists, space, positives=positives, expansion=expansion)

    assert len(targets) == n
    for row in range(n):
        sets = [set(part[row].nonzero().flatten().tolist()) for part in lists]
        expected = slow_targets(*sets, above, excluded, positives, expansion)
        got = (targets.positive[row], ~targets.known[row], targets.reliable[row])
        assert [set(m.nonzero().flatten().tolist()) for m in got] == list(expected)


@given(spaces)
def test_expansion_adds_every_ancestor_and_is_done_once(drawn):
    space, above, _ = random_space(*drawn)
    rng = torch.Generator().manual_seed(drawn[1])
    labels = torch.rand(4, drawn[0], generator=rng) < 0.4

    expanded = space.expand(labels)

    for row, more in zip(labels, expanded, strict=True):
        start = set(row.nonzero().flatten().tolist())
        assert set(more.nonzero().flatten().tolist()) == start.union(*(above[c] for c in start))
    assert torch.equal(space.expand(expanded), expanded)


def test_an_uncertain_label_is_unknown_unless_uncertain_ones_count(space):
    none, doubt = mask([]), mask(["left lung"])

    strict = targets_of(none, doubt, none, space, positives="R")
    loose = targets_of(none, doubt, none, space, positives="RU")

    assert named(~strict.known[0]) == {"left lung", "lung", "chest"}
    assert not strict.positive.any()
    assert named(loose.positive[0]) == {"left lung", "lung", "chest"}
    assert loose.known.all()


def test_an_uncertain_label_that_contradicts_a_positive_is_negative(space):
    targets = targets_of(mask(["liver"]), mask(["lung"]), mask([]), space, positives="R")

    assert targets.known.all()
    assert named(targets.positive[0]) == {"liver"}
    assert named(targets.reliable[0]) == {"liver", "chest", "lung", "left lung"}


def test_without_expansion_what_lies_above_a_positive_is_negative(space):
    targets = targets_of(mask(["lung"]), mask([]), mask([]), space, expansion=False)

    assert named(targets.positive[0]) == {"lung"}
    assert targets.known.all()
    assert "chest" not in named(targets.reliable[0])


def test_all_matched_labels_can_count_as_positive(space):
    targets = targets_of(mask(["lung"]), mask([]), mask(["nodule"]), space, positives="RUI")

    assert named(targets.positive[0]) == {"chest", "lung", "nodule"}


def test_another_setting_is_refused(space):
    with pytest.raises(ValueError, match="RUI"):
        targets_of(mask([]), mask([]), mask([]), space, positives="RI")


def test_targets_move_together(space):
    targets = targets_of(mask(["lung"]), mask([]), mask([]), space).to("meta")

    assert {targets.positive.device, targets.known.device, targets.reliable.device} == {
        torch.device("meta")
    }


@given(spaces)
def test_json_and_index_lists_give_the_space_back(tmp_path_factory, drawn):
    space, *_ = random_space(*drawn)
    path = tmp_path_factory.mktemp("labels") / "labels.json"
    path.write_text(json.dumps(space.to_json()), encoding="utf-8")
    lists = (space.ancestor_lists, space.exclusive_lists)

    for again in (
        LabelSpace.from_json(path),
        LabelSpace.from_index_lists(space.names, space.classes, *lists),
    ):
        assert (again.names, again.classes) == (space.names, space.classes)
        assert torch.equal(again.ancestors, space.ancestors)
        assert torch.equal(again.exclusives, space.exclusives)


def test_the_shipped_ontology_makes_a_label_space(ontology, tmp_path):
    path = tmp_path / "labels.json"
    labels = [
        {
            "name": name,
            "class": ontology[name].kind,
            "ancestors": sorted(ontology.ancestors[name]),
            "exclusives": sorted(ontology.exclusions[name]),
        }
        for name in ontology.labels
    ]
    path.write_text(json.dumps({"labels": labels}), encoding="utf-8")

    space = LabelSpace.from_json(path)

    assert space.names == ontology.labels
    assert space.to_json()["labels"][3]["name"] == ontology.labels[3]


def entry(name, ancestors=(), exclusives=()):
    return {"name": name, "class": "type", "ancestors": ancestors, "exclusives": exclusives}


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([], "there is no label"),
        ([entry("a"), entry("a")], "'a' stands there more than once"),
        ([entry("a", ["b"])], "'a' names 'b', which is no label"),
        ([entry("a", [], ["b"])], "'a' names 'b', which is no label"),
        ([entry("a", 3)], "no label table"),
        ([entry("a", ["a"])], "'a' is among its own ancestors"),
        ([entry("a", [], ["a"])], "'a' is among its own exclusives"),
        ([entry("a", ["b", "b"]), entry("b")], "'a' has one label twice among its ancestors"),
        ([entry("a", [], ["b"]), entry("b")], "'a' excludes 'b', but not the other way round"),
        (
            [entry("a"), entry("b", ["a"]), entry("c", ["b"])],
            "'a' lies above an ancestor of 'c', but is not among its ancestors",
        ),
        ([{"name": "a"}], "no label table"),
        (["a"], "no label table"),
    ],
)
def test_a_contradiction_is_named(tmp_path, labels, problem):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"labels": labels}), encoding="utf-8")

    with pytest.raises(InputError) as refusal:
        LabelSpace.from_json(path)

    assert problem in str(refusal.value)
    assert "labels.json" in str(refusal.value)


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"labels": 3}', '{"names": []}'])
def test_a_file_without_a_label_table_is_refused(tmp_path, text):
    path = tmp_path / "labels.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(InputError, match=r"labels\.json"):
        LabelSpace.from_json(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"Can't read the labels in .*nowhere\.json"):
        LabelSpace.from_json(tmp_path / "nowhere.json")


def test_many_problems_are_counted(tmp_path):
    path = tmp_path / "labels.json"
    labels = [entry(f"label {i}", ["nobody"]) for i in range(9)]
    path.write_text(json.dumps({"labels": labels}), encoding="utf-8")

    with pytest.raises(InputError, match="and 4 more"):
        LabelSpace.from_json(path)


@pytest.mark.parametrize(
    ("ancestors", "problem"),
    [([[], [5]], "does not exist"), ([[], [-1]], "does not exist"), ([[]], "equally many")],
)
def test_index_lists_of_another_size_are_refused(ancestors, problem):
    with pytest.raises(InputError, match=problem):
        LabelSpace.from_index_lists(["a", "b"], ["type"] * 2, ancestors, [[], []])


@pytest.mark.parametrize("field", ["ancestors", "exclusives"])
def test_a_matrix_of_another_shape_is_refused(field):
    square = torch.zeros(1, 1, dtype=torch.bool)
    matrices = {"ancestors": square, "exclusives": square, field: square.float()}

    with pytest.raises(ValueError, match=field):
        LabelSpace(names=("a",), classes=("type",), **matrices)


@pytest.mark.parametrize(
    ("found", "difference"),
    [
        (["a", "x", "y", "d"], "'x', 'y' are new, 'b', 'c' are missing"),
        (["a", "b", "c"], "'d' is missing"),
        (["a", "c", "b", "d"], "label 2 is 'c' instead of 'b'"),
        (["a", "b", "c", "d", "d"], "label 5 is 'd' instead of 'no label'"),
        ([f"n{i}" for i in range(9)], "'n0', 'n1', 'n2', 'n3', 'n4' and 4 more are new, "),
    ],
)
def test_other_labels_are_named(found, difference):
    with pytest.raises(InputError, match=f"^This has other labels than that: {difference}"):
        check_label_names(found, [*"abcd"], what="This", than="that", advice="Go.")
