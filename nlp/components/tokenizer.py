"""NLTK's tokenizer as a spaCy tokenizer."""

from __future__ import annotations

from collections.abc import Callable

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import registry
from spacy.vocab import Vocab

from nlp.text import tokenize


@registry.tokenizers("lesionary.NltkTokenizer.v1")  # type: ignore[untyped-decorator]
def make_nltk_tokenizer() -> Callable[[Language], NltkTokenizer]:
    """The factory that a spaCy config names."""
    return lambda nlp: NltkTokenizer(nlp.vocab)


class NltkTokenizer:
    """Split text as `nlp.text.tokenize` does; `doc.text` is the text, to the last blank.

    As in spaCy's own tokenizer, white space beyond one blank between words is a token of its own.
    """

    def __init__(self, vocab: Vocab) -> None:
        self.vocab = vocab

    def __call__(self, text: str) -> Doc:
        words: list[str] = []
        spaces: list[bool] = []
        at = 0
        for start, end in (*tokenize(text), (len(text), len(text))):
            gap = text[at:start]
            if words and gap.startswith(" "):
                spaces[-1] = True
                gap = gap[1:]
            if gap:
                words.append(gap)
                spaces.append(False)
            if end > start:
                words.append(text[start:end])
                spaces.append(False)
            at = end
        return Doc(self.vocab, words=words, spaces=spaces)

    def to_bytes(self, **_: object) -> bytes:
        """Nothing to keep: the tokenizer has no state (spaCy asks when it serialises)."""
        return b""

    def from_bytes(self, _data: bytes, **_kwargs: object) -> NltkTokenizer:
        """See `to_bytes`."""
        return self

    def to_disk(self, _path: object, **_: object) -> None:
        """See `to_bytes`."""

    def from_disk(self, _path: object, **_: object) -> NltkTokenizer:
        """See `to_bytes`."""
        return self
