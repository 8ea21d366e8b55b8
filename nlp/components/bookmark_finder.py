"""Bookmarks as spaCy spans."""

from __future__ import annotations

from spacy.language import Language
from spacy.tokens import Doc

from nlp.bookmarks import HYPERLINK_PATTERNS, BookmarkConfig, find_bookmarks


@Language.factory(
    "bookmark_finder",
    default_config={"hyperlinks": list(HYPERLINK_PATTERNS), "spans_key": "bookmarks"},
    assigns=["doc.spans"],
)
def make_bookmark_finder(
    nlp: Language, name: str, hyperlinks: list[str], spans_key: str
) -> BookmarkFinder:
    """Build the component from its config block."""
    return BookmarkFinder(BookmarkConfig(hyperlinks=tuple(hyperlinks)), spans_key=spans_key)


class BookmarkFinder:
    """Mark hyperlinks, sizes and slice references; a span's `label_` is the bookmark's kind."""

    def __init__(self, config: BookmarkConfig, *, spans_key: str) -> None:
        self.config = config
        self.spans_key = spans_key

    def __call__(self, doc: Doc) -> Doc:
        spans = (
            doc.char_span(b.start, b.end, label=b.kind, span_id=b.id, alignment_mode="expand")
            for b in find_bookmarks(doc.text, self.config)
        )
        doc.spans[self.spans_key] = [span for span in spans if span is not None]
        return doc
