"""Labels of texts and sentences: the spaCy pipeline at work on records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spacy.language import Language
from spacy.tokens import Doc

from nlp.ontology import Ontology
from nlp.records import Mention, Token
from nlp.relations.cues import stated_terms


def mentions_of(doc: Doc, offset: int = 0) -> tuple[Mention, ...]:
    """The label mentions of a doc, shifted by `offset`."""
    return tuple(
        Mention(
            term=span.label_,
            start=offset + span.start_char,
            end=offset + span.end_char,
            rule=span.id_,
        )
        for span in doc.spans["labels"]
    )


def tokens_of(doc: Doc, offset: int = 0) -> tuple[Token, ...]:
    """The words of a doc, shifted by `offset`."""
    return tuple(
        Token(start=offset + t.idx, end=offset + t.idx + len(t), text=t.text, lemma=t.lemma_)
        for t in doc
        if not t.is_space
    )


def match_texts(
    texts: Iterable[str], pipeline: Language, ontology: Ontology
) -> Iterator[tuple[tuple[Mention, ...], list[str]]]:
    """For each text its mentions, and the sorted labels that it states, ancestors included.

    A label that is only denied ("no calcification") or names a landmark ("adjacent to the
    spleen") is a mention, but not a label of the text.
    """
    for doc in pipeline.pipe(texts):
        mentions = mentions_of(doc)
        yield mentions, sorted(ontology.expand(stated_terms(doc.text, mentions)))
