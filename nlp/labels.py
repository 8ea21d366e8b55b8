"""From the relations of a bookmark to the label lists of its row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nlp.ontology import Ontology
from nlp.records import Mention, Relation


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelLists:
    """The labels of one bookmark, each list in the ontology's order.

    A label stands in one of `relevant`, `uncertain`, `irrelevant`: the strongest relation of its
    mentions. `expanded` adds the ancestors of the relevant labels. `negative` holds the labels
    exclusive with one of those: a lesion that shows the one cannot show the other. `conflicts` are
    the exclusive pairs within `expanded`; both labels stay, so that a trainer can decide, and
    neither becomes a negative because of the other.
    """

    relevant: tuple[str, ...]
    uncertain: tuple[str, ...]
    irrelevant: tuple[str, ...]
    expanded: tuple[str, ...]
    negative: tuple[str, ...]
    conflicts: tuple[str, ...]


def label_lists(
    relations: Iterable[Relation], mentions: tuple[Mention, ...], ontology: Ontology
) -> LabelLists:
    """Sort a bookmark's labels by relation, expand them, and note contradictions.

    Label expansion and reliable negatives: Yan et al. 2019, sections 3.3 and 3.4.
    """
    by_relation: dict[str, set[str]] = {"relevant": set(), "uncertain": set(), "irrelevant": set()}
    for relation in relations:
        term = mentions[relation.mention].term
        if term in ontology.label_index:
            by_relation[relation.relation].add(term)
    relevant = by_relation["relevant"]
    uncertain = by_relation["uncertain"] - relevant
    irrelevant = by_relation["irrelevant"] - relevant - uncertain
    expanded = ontology.expand(relevant)
    excluded: set[str] = set().union(*(ontology.exclusions[label] for label in expanded))
    order = ontology.label_index.__getitem__
    return LabelLists(
        relevant=tuple(sorted(relevant, key=order)),
        uncertain=tuple(sorted(uncertain, key=order)),
        irrelevant=tuple(sorted(irrelevant, key=order)),
        expanded=tuple(sorted(expanded, key=order)),
        negative=tuple(sorted(excluded - expanded, key=order)),
        conflicts=tuple(f"{a} / {b}" for a, b in ontology.conflicts(expanded)),
    )
