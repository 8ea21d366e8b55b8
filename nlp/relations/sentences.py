"""The embedding of a whole sentence: exchangeable, offline, cached.

The paper takes BioSentVec (Chen et al. 2019, arXiv:1810.09302). `load_embedder` reads such a file
where a user has one, any folder of sentence-transformers, or what `TfidfEmbedder` was fitted to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F

from nlp.errors import InputError

Vectors = NDArray[np.float32]
MAX_CACHED: Final = 100_000
_WEIGHTS: Final = "sentence_embedding.safetensors"
_VOCABULARY: Final = "sentence_embedding.json"


class SentenceEmbedder(Protocol):
    """What an embedder offers."""

    @property
    def size(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape: (texts, size)."""
        ...


class CachedEmbedder:
    """Remembers the vectors of the sentences seen last, by a digest of their text."""

    def __init__(self, embedder: SentenceEmbedder, *, most: int = MAX_CACHED) -> None:
        self.embedder, self.most = embedder, most
        self.size = embedder.size
        self._known: dict[bytes, Vectors] = {}

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape: (texts, size)."""
        keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
        new = {k: t for k, t in zip(keys, texts, strict=True) if k not in self._known}
        if new:
            self._known.update(zip(new, self.embedder.embed(list(new.values())), strict=True))
        vectors = np.stack([self._known[key] for key in keys])
        while len(self._known) > self.most:
            del self._known[next(iter(self._known))]
        return vectors


class TfidfEmbedder:
    """TF-IDF of words and word pairs, reduced by SVD (latent semantic analysis)."""

    def __init__(self, vocabulary: dict[str, int], idf: Vectors, components: Vectors) -> None:
        self.vocabulary, self.idf, self.components = vocabulary, idf, components
        self.size = len(components)

    @classmethod
    def fit(cls, texts: Sequence[str], size: int = 64, seed: int = 0) -> TfidfEmbedder:
        """Fit to some sentences."""
        from sklearn.decomposition import TruncatedSVD

        vectorizer = _vectorizer(None)
        weighted = vectorizer.fit_transform(texts)
        size = min(size, min(weighted.shape) - 1)
        svd = TruncatedSVD(size, random_state=seed).fit(weighted)
        return cls(
            {word: int(i) for word, i in vectorizer.vocabulary_.items()},
            vectorizer.idf_.astype(np.float32),
            np.ascontiguousarray(
                svd.components_, dtype=np.float32
            ),  # safetensors writes others wrong
        )

    @cached_property
    def _weigh(self) -> Any:
        vectorizer = _vectorizer(self.vocabulary)
        vectorizer.idf_ = self.idf
        return vectorizer

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape: (texts, size); unit length, or zero where no word is known."""
        vectors = self._weigh.transform(texts) @ self.components.T
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = (vectors / np.maximum(length, 1e-9)).astype(np.float32)
        return unit

    def save(self, folder: Path) -> None:
        """Write two files that `load` reads."""
        save_file({"idf": self.idf, "components": self.components}, folder / _WEIGHTS)
        (folder / _VOCABULARY).write_text(json.dumps(self.vocabulary), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> TfidfEmbedder:
        """Read what `save` wrote."""
        weights = load_file(folder / _WEIGHTS)
        vocabulary = json.loads((folder / _VOCABULARY).read_text(encoding="utf-8"))
        return cls(vocabulary, weights["idf"], weights["components"])


def _vectorizer(vocabulary: dict[str, int] | None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        vocabulary=vocabulary,
        ngram_range=(1, 2),
        min_df=1 if vocabulary else 2,
        sublinear_tf=True,
        dtype=np.float32,
        token_pattern=r"[^\W\d_]+|\?",
    )


class EncoderEmbedder:
    """A folder of sentence-transformers: the mean of the encoder's tokens, or its first token."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        try:
            self.encoder = AutoModel.from_pretrained(folder, local_files_only=True).eval()
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{folder} holds no sentence encoder that transformers can read."
            ) from error
        self.size: int = self.encoder.config.hidden_size
        pooling = folder / "1_Pooling" / "config.json"
        settings = json.loads(pooling.read_text(encoding="utf-8")) if pooling.is_file() else {}
        self.first_token = bool(settings.get("pooling_mode_cls_token"))

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape: (texts, size); unit length."""
        vectors = [self._embed(texts[i : i + 32]) for i in range(0, len(texts), 32)]
        joined: Vectors = torch.cat(vectors).numpy()
        return joined

    def _embed(self, texts: Sequence[str]) -> torch.Tensor:
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=256, return_tensors="pt"
        )
        hidden = self.encoder(**tokens).last_hidden_state
        if self.first_token:
            return F.normalize(hidden[:, 0])
        present = tokens["attention_mask"].unsqueeze(2)
        return F.normalize((hidden * present).sum(dim=1) / present.sum(dim=1))


class Sent2VecEmbedder:
    """A file of sent2vec, such as BioSentVec, through the package `sent2vec`."""

    def __init__(self, file: Path) -> None:
        try:
            import sent2vec
        except ImportError as error:
            raise InputError(
                f"{file} needs the package sent2vec, which is not installed: "
                "pip install sent2vec, or choose another --sentence-embedding."
            ) from error
        self.model = sent2vec.Sent2vecModel()
        self.model.load_model(str(file), inference_mode=True)
        self.size: int = self.model.get_emb_size()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape: (texts, size). BioSentVec was made from words in lower case, apart by blanks."""
        from nlp.text import tokenize

        lowered = [t.lower() for t in texts]
        words = [" ".join(t[start:end] for start, end in tokenize(t)) for t in lowered]
        return np.asarray(self.model.embed_sentences(words), dtype=np.float32)


def load_embedder(path: Path) -> SentenceEmbedder:
    """An embedder by its path: a folder for `transformers`, or a file of sent2vec (.bin).

    Raises:
        InputError: If there is neither.
    """
    if path.is_dir():
        return EncoderEmbedder(path)
    if path.suffix == ".bin" and path.is_file():
        return Sent2VecEmbedder(path)
    raise InputError(
        f"{path} is no sentence embedding: give a folder of sentence-transformers or a sent2vec "
        "file (.bin)."
    )
