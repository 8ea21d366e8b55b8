"""Which words an annotated sentence may mark as a mention.

Beside the ontology's terms these are the further terms of the published LesaNet list that are no
labels ("carcinoma", "hernia"), since a bookmark's sentence names them in the same manner. They
stand in `corpus/further_terms.csv`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, cast

from nlp.lexicon import Lexicon, Words, words_of
from nlp.records import Token
from nlp.relations.corpus import CORPUS_FOLDER

if TYPE_CHECKING:
    from spacy.language import Language

    from nlp.components.label_matcher import LabelMatcher

FURTHER_TERMS: Final = CORPUS_FOLDER / "further_terms.csv"
_LINKS: Final = frozenset({"of", "the", "in"})
_LONGEST: Final = 6


@dataclass(frozen=True)
class CorpusTerms:
    """The terms of the ontology and the further ones, to look words up by lemma.

    `phrases` maps the lemmas of every synonym to its term, words that only look like a label
    included; `kinds` maps every term to its class, `none` for those.
    """

    lexicon: Lexicon = field(repr=False)
    lemma: Callable[[str], str] = field(repr=False)
    phrases: Mapping[Words, str] = field(repr=False)
    kinds: Mapping[str, str] = field(repr=False)

    @classmethod
    def of_pipeline(cls, pipeline: Language) -> CorpusTerms:
        """The terms of a pipeline's label matcher, and the further ones."""
        matcher = cast("LabelMatcher", pipeline.get_pipe("label_matcher"))
        lexicon, lemma = matcher.lexicon, matcher.lemma
        phrases: dict[Words, str] = {}
        kinds = {name: term.kind for name, term in lexicon.ontology.terms.items()}
        with FURTHER_TERMS.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                kinds.setdefault(row["term"], row["class"])
                for phrase in (row["term"], *row["synonyms"].split(" | ")):
                    phrases[words_of(phrase, lemma)] = row["term"]
        del phrases[()]  # of the terms without synonyms
        return cls(lexicon, lemma, {**phrases, **lexicon.phrases}, kinds)

    def is_name(self, term: str) -> bool:
        """Whether this is a term's name, as `{words=term|1}` and JSON Lines give it."""
        return self.kinds.get(term, "none") != "none"

    def find(self, words: str) -> str | None:
        """The term that words are a synonym of, or None."""
        term = self.phrases.get(words_of(words, self.lemma))
        return term if term and self.is_name(term) else None

    def find_derived(self, words: str) -> str | None:
        """The term that words are a plain derivation or word order of, or None.

        Their stems (Snowball, Porter 2001) are those of a synonym: "linearly", "lobe of the liver".
        """
        return self._stems.get(self._stem(words_of(words, self.lemma)))

    def find_all(self, tokens: Sequence[Token]) -> Iterator[tuple[int, int, str]]:
        """Start, end and term of what a sentence names, from the left, the longest first.

        Words that only look like a label are passed over.
        """
        words = [t for t in tokens if t.text != "-"]
        begin = 0
        while begin < len(words):
            for end in range(min(len(words), begin + _LONGEST), begin, -1):
                term = self.phrases.get(tuple(t.lemma for t in words[begin:end]))
                if term is not None:
                    if self.is_name(term):
                        yield words[begin].start, words[end - 1].end, term
                    begin = end - 1
                    break
            begin += 1

    @cached_property
    def _stems(self) -> dict[frozenset[str], str]:
        return {self._stem(w): t for w, t in self.phrases.items() if self.is_name(t)}

    def _stem(self, words: Words) -> frozenset[str]:
        return frozenset(self._stemmer.stem(word) for word in words if word not in _LINKS)

    @cached_property
    def _stemmer(self) -> _Stemmer:
        from nltk.stem import SnowballStemmer

        return cast("_Stemmer", SnowballStemmer("english"))


if TYPE_CHECKING:
    from typing import Protocol

    class _Stemmer(Protocol):
        def stem(self, word: str) -> str: ...
