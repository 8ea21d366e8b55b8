"""The ontology as word sequences: which lemmas, side by side or apart, name which term."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from nlp.ontology import Ontology
from nlp.text import tokenize

SIDES: Final = ("left", "right")
Words = tuple[str, ...]


@dataclass(frozen=True)
class Lexicon:
    """Phrases in lemmas, and the terms that two parts make together.

    `phrases` maps the lemmas of every synonym to its term. `joined` maps two terms to the one
    whose synonym is theirs side by side ("renal" + "cyst": kidney, cyst -> kidney cyst); `sided`
    does so for a side and a term ("left" + "renal": left, kidney -> left kidney).
    """

    ontology: Ontology
    phrases: Mapping[Words, str] = field(repr=False)
    joined: Mapping[tuple[str, str], str] = field(repr=False)
    sided: Mapping[tuple[str, str], str] = field(repr=False)

    @classmethod
    def build(cls, ontology: Ontology, lemma: Callable[[str], str]) -> Lexicon:
        """Lemmatize every phrase of the ontology and work out its parts."""
        phrases = {
            words_of(phrase, lemma): term.name
            for term in reversed(list(ontology.terms.values()))
            for phrase in reversed(term.phrases)
        }
        joined: dict[tuple[str, str], str] = {}
        sided: dict[tuple[str, str], str] = {}
        for words, term in phrases.items():
            for first, second in _splits(words):
                right = phrases.get(second)
                if right is None or right == term:
                    continue
                if len(first) == 1 and first[0] in SIDES:
                    sided[first[0], right] = term
                elif (left := phrases.get(first, term)) != term:
                    joined[left, right] = term
        return cls(ontology=ontology, phrases=phrases, joined=joined, sided=sided)

    @cached_property
    def spoken(self) -> dict[str, list[Words]]:
        """All phrases of each term, in lemmas."""
        spoken: dict[str, list[Words]] = {}
        for words, term in self.phrases.items():
            spoken.setdefault(term, []).append(words)
        return spoken

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """Every word of any phrase."""
        return frozenset(word for words in self.phrases for word in words)

    def is_label_like(self, term: str) -> bool:
        """Whether a term states a label; the words of class `none` do not."""
        return self.ontology[term].kind != "none"


def words_of(phrase: str, lemma: Callable[[str], str]) -> Words:
    """The lemmas of a phrase, hyphens left out.

    Example:
        >>> words_of("Ground-glass opacity", str.lower)
        ('ground', 'glass', 'opacity')
    """
    words = (phrase[start:end] for start, end in tokenize(phrase))
    return tuple(lemma(word) for word in words if word != "-")


def _splits(words: Words) -> Iterator[tuple[Words, Words]]:
    return ((words[:k], words[k:]) for k in range(1, len(words)))
