"""What vision reads from a mined dataset is what nlp writes."""

from nlp import rows as mined
from nlp.store import label_space
from vision import rows as lesions
from vision.labels import LabelSpace

NAMES = ("lung", "nodule")


def test_the_columns_that_vision_reads_have_the_types_that_nlp_writes():
    written = mined.features(NAMES)
    for name, feature in lesions.mined_features(NAMES).items():
        assert written[name] == feature, name


def test_both_know_the_same_splits():
    assert lesions.SPLITS == mined.SPLITS


def test_the_labels_that_nlp_writes_are_sound_for_vision(ontology, tmp_path):
    from vision.rows import dumped

    path = tmp_path / "labels.json"
    path.write_text(dumped(label_space(ontology)), encoding="utf-8")
    space = LabelSpace.from_json(path)
    assert space.names == ontology.labels
    assert int(space.ancestors.sum()) == sum(len(ontology.ancestors[n]) for n in ontology.labels)
    assert int(space.exclusives.sum()) == sum(len(ontology.exclusions[n]) for n in ontology.labels)
