"""The four packages are ours, and no other distribution has put its own there."""

from importlib import import_module, metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["nlp", "vision", "pipelines", "flows"])
def test_the_packages_are_ours(name):
    assert Path(import_module(name).__file__).parents[1] == ROOT
    assert set(metadata.packages_distributions().get(name, ["lesionary"])) == {"lesionary"}


def test_spacy_finds_the_components():
    names = {e.name for e in metadata.entry_points(group="spacy_factories")}
    assert {"label_matcher", "bookmark_finder", "noun_lemmatizer"} <= names


def test_no_package_below_tests():
    assert not list((ROOT / "tests").rglob("__init__.py"))
