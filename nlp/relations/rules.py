"""The rule-based relation model: the nearest bookmark, and words that hedge or deny.

The baseline that a trained model has to beat, and the fallback without one. It explains itself:
`explain` names the cue of each decision. Its probabilities are degrees of trust set by hand,
not calibrated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from nlp.records import Bookmark, Mention, Passage, RelationName
from nlp.relations import Probabilities
from nlp.relations.cues import Cue, context_of, nearest_bookmark

_TRUST: Final[dict[RelationName, tuple[float, float, float]]] = {
    "relevant": (0.80, 0.08, 0.12),
    "uncertain": (0.20, 0.70, 0.10),
    "irrelevant": (0.15, 0.05, 0.80),
}


def load(folder: Path | None) -> RuleModel:
    """The model; it has no weights."""
    return RuleModel()


class RuleModel:
    """See the module."""

    digest = "rules-3"
    relevant_at_least = 0.0

    def predict(self, passages: Sequence[Passage]) -> list[Probabilities]:
        """Probabilities of every pair of each passage."""
        return [self._predict(passage) for passage in passages]

    def _predict(self, passage: Passage) -> Probabilities:
        rows = [
            _TRUST[self.explain(passage, bookmark, mention)[0]]
            for bookmark in passage.current
            for mention in passage.mentions
        ]
        return np.array(rows, dtype=np.float32).reshape(-1, 3)

    def explain(
        self, passage: Passage, bookmark: Bookmark, mention: Mention
    ) -> tuple[RelationName, Cue]:
        """The relation of a pair, and the cue that decided it."""
        text, offset = passage.sentence.text, passage.sentence.start
        here = Mention(term=mention.term, start=mention.start - offset, end=mention.end - offset)
        cue = context_of(text, here)
        if cue.context in ("negated", "landmark", "exam", "past"):
            return "irrelevant", cue
        places = [
            Bookmark(id=b.id, start=b.start - offset, end=b.end - offset, kind=b.kind)
            for b in passage.current
        ]
        if nearest_bookmark(text, places, here) != bookmark.id:
            return "irrelevant", Cue("stated", "nearer to another bookmark")
        return ("uncertain" if cue.context == "hedged" else "relevant"), cue
