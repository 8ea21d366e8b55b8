"""Look into a label table, check it, and find what it lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp.bookmarks import BookmarkConfig
from nlp.errors import InputError
from nlp.ontology import CLASSES, Ontology, fold
from nlp.passages import find_passages
from nlp.records import Report
from nlp.sources import read_reports


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """A phrase that no term covers, how often it occurs, and the terms that look like it."""

    phrase: str
    count: int
    nearest: tuple[tuple[str, float], ...]


def describe_term(name: str, table: Path | None = None) -> dict[str, Any]:
    """All that the table says of a term, closures included.

    Raises:
        InputError: If no row has that name or synonym; the message names similar ones.
    """
    ontology = Ontology.from_csv(table)
    by_phrase = {fold(p): term for term in ontology.terms.values() for p in term.phrases}
    term = by_phrase.get(fold(name))
    if term is None:
        from difflib import get_close_matches

        near = get_close_matches(fold(name), by_phrase, n=3)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise InputError(f"The ontology has no term or synonym '{name}'.{hint}")
    below = (t for t, above in ontology.ancestors.items() if term.name in above)
    return {
        "term": term.name,
        "class": term.kind,
        "label": "yes" if term.is_label else "no, states its parents",
        "synonyms": list(term.synonyms),
        "parents": list(ontology.direct_parents[term.name]),
        "ancestors": sorted(ontology.ancestors[term.name]),
        "descendants": sorted(below),
        "exclusive": sorted(ontology.exclusions.get(term.name, ())),
        "radlex_id": list(term.radlex_ids),
        "note": term.note,
    }


def count_terms(table: Path | None = None) -> dict[str, int]:
    """The sizes of a table that is sound.

    Raises:
        InputError: Listing every problem with its row and term.
    """
    ontology = Ontology.from_csv(table)
    kinds = Counter(ontology[name].kind for name in ontology.labels)
    return {
        "labels": len(ontology.labels),
        **{f"{kind} labels": kinds[kind] for kind in CLASSES if kinds[kind]},
        "finer phrases": sum(not t.is_label for t in ontology.terms.values()),
        "words and synonyms": sum(len(t.phrases) for t in ontology.terms.values()),
        "parent-child pairs": sum(len(ontology.direct_parents[n]) for n in ontology.labels),
        "ancestor pairs": sum(len(ontology.ancestors[n]) for n in ontology.labels),
        "exclusive pairs": sum(map(len, ontology.exclusions.values())) // 2,
    }


def suggest_synonyms(
    inputs: Iterable[Path],
    *,
    columns: tuple[tuple[str, str], ...] = (),
    most: int = 40,
    ontology: Path | None = None,
) -> list[Suggestion]:
    """Frequent phrases beside bookmarks that no term covers, with their nearest terms.

    Nearness is the cosine of character 3-grams, as in scispaCy's candidate generator.
    """
    from nlp.candidates import nearest_terms

    reports = (r for r in read_reports(inputs, columns=dict(columns)) if isinstance(r, Report))
    counts = Counter(_unmatched(reports, ontology))
    frequent = [(p, n) for p, n in counts.most_common(most * 5) if n > 1][:most]
    nearest = nearest_terms([p for p, _ in frequent], Ontology.from_csv(ontology))
    return [
        Suggestion(phrase=phrase, count=count, nearest=tuple(near))
        for (phrase, count), near in zip(frequent, nearest, strict=True)
    ]


def _unmatched(reports: Iterable[Report], ontology: Path | None) -> Iterator[str]:
    """Runs of one to three content words that no mention covers."""
    from spacy.lang.en.stop_words import STOP_WORDS

    from nlp.components import load_pipeline
    from nlp.compose import LIGHT

    pipeline = load_pipeline(ontology=str(ontology) if ontology else None)
    passages = find_passages(reports, BookmarkConfig(), Counter())
    for doc in pipeline.pipe(p.sentence.text for p in passages):
        covered = {t.i for span in doc.spans["labels"] for t in span}
        run: list[str] = []
        for token in doc:
            word = token.lemma_
            dull = word in STOP_WORDS or word in LIGHT or not word.isalpha() or len(word) < 3
            if token.i in covered or dull:
                run = []
                continue
            run.append(word)
            for size in range(1, min(3, len(run)) + 1):
                yield " ".join(run[-size:])
