"""Noun lemmas for every token, by NLTK's WordNet lemmatizer."""

from __future__ import annotations

from collections.abc import Callable

from spacy.language import Language
from spacy.tokens import Doc

from nlp.text import LemmatizerName, make_lemmatizer


@Language.factory("noun_lemmatizer", default_config={"lemmatizer": "auto"}, assigns=["token.lemma"])
def make_noun_lemmatizer(nlp: Language, name: str, lemmatizer: LemmatizerName) -> NounLemmatizer:
    """Build the component from its config block."""
    return NounLemmatizer(make_lemmatizer(lemmatizer))


class NounLemmatizer:
    """Set each token's lemma, in lower case: radiology's plurals are nouns."""

    def __init__(self, lemma: Callable[[str], str]) -> None:
        self.lemma = lemma

    def __call__(self, doc: Doc) -> Doc:
        for token in doc:
            token.lemma_ = self.lemma(token.text)
        return doc
