"""The terms whose spelling is nearest to a phrase.

Character 3-grams weighted by TF-IDF and compared by cosine, as scispaCy's candidate generator
(Neumann et al. 2019, arXiv:1902.07669) does for UMLS; its own index is built for big vocabularies
(it drops n-grams that fewer than ten aliases share) and needs patching on Python 3.11, so the
vectorizer it is made of is used directly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nlp.ontology import Ontology, fold


def nearest_terms(
    phrases: Sequence[str], ontology: Ontology, *, most: int = 3, least: float = 0.3
) -> list[list[tuple[str, float]]]:
    """For each phrase the nearest terms with their similarity, the best first.

    Args:
        phrases: What to look up.
        ontology: Whose synonyms to compare with.
        most: How many terms a phrase gets.
        least: Terms that are less similar are left out; 1 is the same spelling.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    owners = [(fold(p), t.name) for t in ontology.terms.values() for p in t.phrases]
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3))
    synonyms = vectorizer.fit_transform([phrase for phrase, _ in owners])
    if not phrases:
        return []
    similarity = (vectorizer.transform(phrases) @ synonyms.T).toarray()
    return [_best(row, [term for _, term in owners], most, least) for row in similarity]


def _best(
    row: np.ndarray[tuple[int], np.dtype[np.float64]], terms: list[str], most: int, least: float
) -> list[tuple[str, float]]:
    best: dict[str, float] = {}
    for i in np.argsort(-row):
        if row[i] < least or len(best) == most:
            break
        best.setdefault(terms[i], round(float(row[i]), 3))
    return list(best.items())
