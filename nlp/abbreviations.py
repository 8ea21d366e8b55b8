"""Abbreviations that a report defines itself: "ground glass nodule (GGNO)".

Found by scispaCy's detector (Schwartz and Hearst 2003) in the whole report, so that a short form
counts in its later sentences too.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scispacy.abbreviation import AbbreviationDetector
    from spacy.language import Language

_DEFINITION = re.compile(r"\(\s?[A-Z][A-Za-z]{1,7}\s?\)")


def find_abbreviations(text: str, pipeline: Language) -> dict[str, str]:
    """Short forms and the words they stand for, as far as a report defines them.

    Example:
        >>> from nlp.components import load_pipeline
        >>> find_abbreviations("A right paratracheal node (RPN). RPN is 9 mm.", load_pipeline())
        {'RPN': 'right paratracheal node'}
    """
    if not _DEFINITION.search(text):
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # W036: no definition here survived the detector's checks
        doc = _detector(pipeline)(pipeline.make_doc(text))
    return {span.text: span._.long_form.text for span in doc._.abbreviations}


@lru_cache(maxsize=4)
def _detector(pipeline: Language) -> AbbreviationDetector:
    from scispacy.abbreviation import AbbreviationDetector

    return AbbreviationDetector(pipeline)
