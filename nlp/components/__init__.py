"""Our spaCy pieces: an NLTK tokenizer, a WordNet lemmatizer, bookmarks and labels.

They are registered through entry points, so `nlp.add_pipe("label_matcher")` works in any spaCy
pipeline once the package is installed. `load_pipeline` builds the one that the mining uses.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from nlp.text import LemmatizerName

if TYPE_CHECKING:
    from spacy.language import Language


@lru_cache(maxsize=4)
def load_pipeline(*, ontology: str | None = None, lemmatizer: LemmatizerName = "auto") -> Language:
    """The spaCy pipeline of the mining: NLTK tokens, lemmas, `doc.spans["labels"]`.

    Args:
        ontology: A label table; without one, the shipped table.
        lemmatizer: Which lemmas to match on.
    """
    import spacy

    config = {"nlp": {"tokenizer": {"@tokenizers": "lesionary.NltkTokenizer.v1"}}}
    pipeline = spacy.blank("en", config=config)
    pipeline.add_pipe("noun_lemmatizer", config={"lemmatizer": lemmatizer})
    pipeline.add_pipe("label_matcher", config={"ontology": ontology})
    return pipeline
