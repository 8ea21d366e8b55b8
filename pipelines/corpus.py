"""Check annotated sentences before a model learns from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tqdm import tqdm

from nlp.components import load_pipeline
from nlp.relations.corpus import CORPUS_FOLDER, corpus_files
from nlp.relations.corpus_checks import (
    Annotated,
    Fault,
    count_corpus,
    find_unmarked,
    read_annotated,
    repeat_faults,
)
from nlp.relations.corpus_nearness import Masked, Near, find_near, mask, read_other
from nlp.relations.corpus_terms import CorpusTerms

if TYPE_CHECKING:
    from spacy.language import Language

NEAREST: Final = 10


def check_corpora(corpora: Sequence[Path] = (), against: Sequence[Path] = ()) -> dict[str, Any]:
    """Check annotated sentences, and compare them with other texts.

    Args:
        corpora: Files or folders of markup or JSON Lines; none means the sentences that ship.
        against: Texts that no sentence may repeat or paraphrase: JSON Lines with `text`, or text.

    Returns:
        `faults` and `unmarked` (file, line and what), `nearest` (pairs of file and line, the
        nearest `NEAREST` and all that are too near), and the figures of `count_corpus`.

    Raises:
        InputError: If a file can't be read, or there is no corpus.
    """
    pipeline = load_pipeline()
    terms = CorpusTerms.of_pipeline(pipeline)
    sentences: list[Annotated] = []
    faults: list[Fault] = []
    for file in tqdm(corpus_files(corpora or [CORPUS_FOLDER]), desc="Reading", disable=None):
        read, found = read_annotated(file, pipeline, terms)
        sentences += read
        faults += found
    faults += repeat_faults(sentences)
    near = _compare(sentences, against, pipeline, terms) if against else []
    faults += [_near_fault(n) for n in near if n.too_near]
    faults.sort(key=lambda fault: (fault.file, fault.line))
    shown = [n for i, n in enumerate(near) if n.too_near or i < NEAREST]
    return {
        **count_corpus(sentences, terms.lexicon.ontology),
        "faults": [asdict(fault) for fault in faults],
        "unmarked": [asdict(u) for s in sentences for u in find_unmarked(s, terms)],
        "nearest": [asdict(n) for n in shown],
    }


def _compare(
    sentences: Sequence[Annotated], against: Sequence[Path], pipeline: Language, terms: CorpusTerms
) -> list[Near]:
    """The near pairs; the shipped batches tell which runs of words are common."""
    ours = {s.file.resolve(): s.file for s in sentences}
    files = corpus_files(against)
    others: list[Masked] = []
    for path in tqdm(files, desc="Comparing", disable=None):
        known = ours.get(path.resolve(), path)  # so that a file is not compared with itself
        others += read_other(known, pipeline, terms)
    read = set(ours) | {path.resolve() for path in files}
    shipped = [file for file in corpus_files([CORPUS_FOLDER]) if file.resolve() not in read]
    background = [m for file in shipped for m in read_other(file, pipeline, terms)]
    masked = [
        mask(str(s.file), s.line, s.passage.report.text, s.passage.tokens, terms) for s in sentences
    ]
    return find_near(masked, others, background)


def _near_fault(near: Near) -> Fault:
    problem = (
        f"too near (similarity {near.similarity:.2f}, {near.rare_runs} rare runs) to a sentence of "
        f"{near.other_file}, line {near.other_line}; compare them, and drop it if it is a copy"
    )
    return Fault(file=near.file, line=near.line, problem=problem)
