"""Find the words that name a label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

from spacy.language import Language
from spacy.matcher import PhraseMatcher
from spacy.tokens import Doc, Span, Token

from nlp.compose import Match, compose, says_more
from nlp.lexicon import Lexicon, words_of
from nlp.ontology import Ontology
from nlp.text import LemmatizerName, make_lemmatizer

ABBREVIATIONS: Final = "abbreviations"
# Short for a side before a word; upper-case RT is left out, since it may be radiotherapy.
_SHORT: Final = {
    **dict.fromkeys(("R", "Rt", "rt"), "right"),
    **dict.fromkeys(("L", "Lt", "lt"), "left"),
}


@Language.factory(
    "label_matcher",
    default_config={"ontology": None, "lemmatizer": "auto", "spans_key": "labels"},
    requires=["token.lemma"],
    assigns=["doc.spans"],
)
def make_label_matcher(
    nlp: Language, name: str, ontology: str | None, lemmatizer: LemmatizerName, spans_key: str
) -> LabelMatcher:
    """Build the component from its config block; without `ontology`, with the shipped table."""
    table = Ontology.from_csv(Path(ontology) if ontology else None)
    return LabelMatcher(nlp, table, make_lemmatizer(lemmatizer), spans_key=spans_key)


class LabelMatcher:
    """Mark every mention of every label in `doc.spans`, longest match first.

    Phrases are compared by lemma, hyphens and case aside, and put together by the rules of
    `nlp.compose`. A span's `label_` is the label, its `id_` the rule that found it. A phrase
    finer than the labels states the labels above it: one span each, rule `narrower`.
    """

    def __init__(
        self,
        nlp: Language,
        ontology: Ontology,
        lemma: Callable[[str], str],
        *,
        spans_key: str = "labels",
    ) -> None:
        self.spans_key = spans_key
        self.lemma = lemma
        self.lexicon = Lexicon.build(ontology, lemma)
        self.matcher = PhraseMatcher(nlp.vocab, attr="ORTH")
        for words, term in self.lexicon.phrases.items():
            self.matcher.add(term, [Doc(nlp.vocab, words=list(words))])

    def __call__(self, doc: Doc) -> Doc:
        places, words = _words(doc)
        found = self._phrases(Doc(doc.vocab, words=words)) if words else []
        found += self._abbreviations(doc, places)
        added = compose(words, found, self.lexicon) if words else []
        doc.spans[self.spans_key] = [
            Span(doc, places[m.start], places[m.end - 1] + 1, label=label, span_id=rule)
            for m in select(found, added, self.lexicon)
            for label, rule in self._labels(m)
        ]
        return doc

    def _phrases(self, words: Doc) -> list[Match]:
        strings = words.vocab.strings
        return [Match(start, end, strings[key]) for key, start, end in self.matcher(words)]

    def _abbreviations(self, doc: Doc, places: list[int]) -> list[Match]:
        """Short forms that the report defines, where the caller put them in `user_data`."""
        defined: dict[str, str] = doc.user_data.get(ABBREVIATIONS, {})
        terms = {short: self.term_of(long) for short, long in defined.items()}
        return [
            Match(i, i + 1, term, "abbreviation")
            for i, place in enumerate(places if defined else [])
            if (term := terms.get(doc[place].text))
        ]

    def term_of(self, phrase: str) -> str | None:
        """The term of which a phrase is a synonym, or None."""
        return self.lexicon.phrases.get(words_of(phrase, self.lemma))

    def _labels(self, match: Match) -> list[tuple[str, str]]:
        if self.lexicon.ontology[match.term].is_label:
            return [(match.term, match.rule)]
        above = self.lexicon.ontology.direct_parents[match.term]
        return [(label, "narrower") for label in above]


def select(found: Sequence[Match], added: Sequence[Match], lexicon: Lexicon) -> list[Match]:
    """Keep the longest matches, what only overlaps them, and what the rules add to them.

    A match inside a longer one is kept where it says more than the longer one's ancestors
    ("adenopathy" in "axillary adenopathy"), and dropped where its words mean something else there
    ("mass effect", "femoral lymph node").
    """
    longest: list[Match] = []
    further: list[Match] = []
    for match in sorted(found, key=lambda m: (m.start - m.end, m.start)):
        rivals = [k for k in longest if match.start < k.end and k.start < match.end]
        if not rivals:
            longest.append(match)
        elif all(says_more(match, rival, lexicon) for rival in rivals):
            further.append(match._replace(rule="overlap"))
    kept = [m for m in (*longest, *further) if lexicon.is_label_like(m.term)]
    blocked = [m for m in longest if not lexicon.is_label_like(m.term)]
    stated = {lexicon.ontology[m.term].name for m in kept}
    for match in added:
        inside = any(b.covers(match) for b in blocked)
        if match.term not in stated and not inside:
            stated.add(match.term)
            kept.append(match)
    return sorted(kept)


def _words(doc: Doc) -> tuple[list[int], list[str]]:
    """The lemmas of a doc, without blanks and hyphens, and which token each one is."""
    tokens = [t for t in doc if not t.is_space and t.text != "-"]
    places: list[int] = []
    words: list[str] = []
    shortened = False  # whether the last word was "rt": a full stop after it belongs to it
    for token, following in zip_longest(tokens, tokens[1:]):
        if shortened and token.text == ".":
            continue
        shortened = token.text in _SHORT and following is not None and _has_side(following)
        places.append(token.i)
        words.append(_SHORT[token.text] if shortened else token.lemma_)
    return places, words


def _has_side(token: Token) -> bool:
    """Whether "R" before this word is short for right; "L spine" is the lumbar one."""
    return token.text == "." or (token.is_alpha and len(token) > 2 and token.lower_ != "spine")
