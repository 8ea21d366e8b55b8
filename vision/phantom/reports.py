"""Reports of phantom studies: a bookmark for each lesion, in sentences as radiologists word them.

What they leave out, and what they mention that is not true of the lesion, is drawn: other lesions
in the same sentence, findings without a bookmark, neighbours, guesses, denials.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vision.phantom import words
from vision.phantom.cases import Case, Finding

REGIONS = ("chest", "abdomen", "pelvis")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class PhantomReport:
    """A report; `findings` in the order of its bookmarks."""

    text: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Writer:
    """What the sentences of one report have in common."""

    case: Case
    rng: np.random.Generator
    hyperlinks: bool

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices."""
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        """True in this share of the cases."""
        return bool(self.rng.random() < share)


def write_report(case: Case) -> PhantomReport:
    """Write the report of a study."""
    rng = np.random.default_rng([case.config.seed, case.number, 3])
    writer = Writer(case=case, rng=rng, hyperlinks=bool(rng.random() < case.config.hyperlinked))
    present = [r for r in REGIONS if any(f.lesion.site.region == r for f in case.findings)]
    order: list[Finding] = []
    parts = list(_head(writer, tuple(present)))
    for region in present:
        found = [f for f in case.findings if f.lesion.site.region == region]
        found = [found[i] for i in rng.permutation(len(found))]
        order += found
        sentences = list(_sentences(writer, found))
        for i in rng.permutation(len(words.FILLERS[region]))[: rng.integers(1, 3)]:
            sentences.insert(int(rng.integers(len(sentences) + 1)), words.FILLERS[region][i])
        parts.append(f"{region.upper()}: {' '.join(sentences)}")
    parts.append("\nIMPRESSION: Findings as described above.")
    return PhantomReport(text="\n".join(parts), findings=tuple(order))


def _head(writer: Writer, regions: tuple[str, ...]) -> Iterator[str]:
    yield f"EXAM: {words.EXAMS.get(regions, 'CT CHEST, ABDOMEN AND PELVIS')}\n"
    yield f"CLINICAL HISTORY: {writer.case.age}-year-old, {writer.pick(words.HISTORIES)}.\n"
    yield "TECHNIQUE: Axial images after intravenous contrast.\n"
    yield "FINDINGS:"


def _sentences(writer: Writer, findings: Sequence[Finding]) -> Iterator[str]:
    """A sentence for each finding; now and then two share one."""
    left = list(findings)
    while left:
        first = left.pop(0)
        if left and writer.chance(0.35):
            yield _capital(_pair(writer, first, left.pop(0)))
        else:
            yield _capital(_single(writer, first))


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _single(writer: Writer, finding: Finding) -> str:
    mark, tail = _mark(writer, finding), _tail(writer, finding)
    noun, place = _phrase(writer, finding)
    whole = f"{noun} {place}".strip()
    patterns = [
        f"{_article(noun)} {whole} measures {mark}{tail}.",
        f"there is {_article(noun)} {whole}, measuring {mark}{tail}.",
        f"{whole}, {mark}{tail}.",
        f"{writer.pick(('Unchanged', 'Stable', 'Known'))} {whole} ({mark}){tail}.",
        f"{writer.pick(('Again seen is', 'There is'))} {_article(noun)} {whole} {mark}{tail}.",
    ]
    if place.startswith(("in", "along", "at")):
        patterns += [
            f"{place}, {_article(noun)} {noun} is seen, {mark}{tail}.",
            f"{place} is {_article(mark)} {mark} {noun}{tail}.",
        ]
    return writer.pick(patterns)


def _pair(writer: Writer, first: Finding, second: Finding) -> str:
    """Two lesions in one sentence: what is said of the one is not true of the other."""
    (noun_a, place_a), (noun_b, place_b) = _phrase(writer, first), _phrase(writer, second)
    a, b = f"{noun_a} {place_a}".strip(), f"{noun_b} {place_b}".strip()
    mark_a, mark_b = _mark(writer, first), _mark(writer, second)
    tail = _tail(writer, second, calm=True)
    return writer.pick((
        f"{_article(a)} {a} measures {mark_a} and {_article(b)} {b} measures {mark_b}{tail}.",
        f"{a}, {mark_a}, and {b}, {mark_b}{tail}.",
        f"there is {_article(a)} {a} {mark_a}, as well as {_article(b)} {b} {mark_b}{tail}.",
        f"{a} {mark_a}; {b} {mark_b}{tail}.",
        f"besides the {a} {mark_a}, {_article(b)} {b} of {mark_b} is noted{tail}.",
    ))  # fmt: skip


def _article(phrase: str) -> str:
    vowel = re.match(r"[aeiou]|8|1[18](?:\.| |$)|(?:LUL|LLL|RUL|RML|RLL)\b", phrase, re.IGNORECASE)
    return "an" if vowel else "a"


def _phrase(writer: Writer, finding: Finding) -> tuple[str, str]:
    """The lesion in words: noun with adjectives, and its place or nothing."""
    lesion, omitted = finding.lesion, writer.case.config.omitted
    noun = _noun(writer, finding)
    adjectives = [
        writer.pick(forms)
        for label, forms in words.ADJECTIVES.items()
        if label in lesion.labels and not writer.chance(omitted)
    ]
    if "enlarged" in adjectives and not noun.endswith("node"):
        adjectives.remove("enlarged")
    if "tiny" in lesion.labels and len(adjectives) > 1:
        adjectives = adjectives[:1] + adjectives[2:]  # nobody says "tiny subcentimeter"
    place, site = "", lesion.site.name
    if writer.chance(omitted * 0.6):
        place = words.VAGUE.get(site, "") if writer.chance(0.6) else ""
    elif writer.chance(0.6 if "lymph node" in site else 0.3):
        adjectives.append(writer.pick(words.BEFORE[site]))
        noun = noun.removeprefix(f"{adjectives[-1].split()[-1]} ")  # no "renal renal cyst"
    else:
        place = writer.pick(words.BEHIND[site])
    return " ".join((*adjectives, noun)), place


def _noun(writer: Writer, finding: Finding) -> str:
    lesion = finding.lesion
    label = next((name for name in words.NOUNS if name in lesion.look.labels), lesion.look.kind)
    if writer.chance(0.5 * writer.case.config.omitted):
        label = "node" if label in ("node", "lymphadenopathy") else "lesion"
    return writer.pick(words.NOUNS[label])


def _mark(writer: Writer, finding: Finding) -> str:
    """The bookmark: a hyperlink with or without size, or a size, perhaps with its slice."""
    size = _size(writer, finding)
    image = f"(series 1, image {finding.slice_index})"
    if not writer.hyperlinks:
        return writer.pick((size, size, f"{size} {image}"))
    return writer.pick(("BOOKMARK", "BOOKMARK", f"{size} BOOKMARK", f"{size} {image} BOOKMARK"))


def _size(writer: Writer, finding: Finding, *, factor: float = 1.0) -> str:
    """One or two diameters in cm or mm, rounded as radiologists do."""
    lengths = [factor * length for length in finding.lengths_mm]
    if lengths[0] < 10 or writer.chance(0.25):
        shown, unit = [f"{max(1, round(x))}" for x in lengths], "mm"
    else:
        shown, unit = [f"{max(0.1, x / 10):.1f}" for x in lengths], "cm"
    return f"{' x '.join(shown if writer.chance(0.7) else shown[:1])} {unit}"


def _tail(writer: Writer, finding: Finding, *, calm: bool = False) -> str:
    """What follows the size: often nothing that matters, else something not true of the lesion."""
    if not calm and writer.chance(writer.case.config.distracted):
        kind = writer.pick((_landmark, _landmark, _hedge, _denial, _unmarked, _unmarked))
        return kind(writer, finding)
    if not writer.hyperlinks and writer.chance(0.2):
        return f", previously {_size(writer, finding, factor=writer.rng.uniform(0.6, 1.3))}"
    return writer.pick(words.PLAIN)


def _landmark(writer: Writer, finding: Finding) -> str:
    organ = finding.lesion.site.name
    known = [w for w in words.LANDMARKS[finding.lesion.site.region] if organ not in w]
    return f", {writer.pick(known)}"


def _hedge(writer: Writer, finding: Finding) -> str:
    return writer.pick(words.HEDGES[finding.lesion.site.region])


def _denial(writer: Writer, finding: Finding) -> str:
    absent = [label for label in words.DENIALS if label not in finding.lesion.labels]
    absent = [
        name for name in absent if name != "cyst" or "kidney cyst" not in finding.lesion.labels
    ]
    return writer.pick(words.DENIALS[writer.pick(absent)])


def _unmarked(writer: Writer, finding: Finding) -> str:
    others = [u for u in words.UNMARKED if u[2] != finding.lesion.site.name]
    article, phrase, _ = writer.pick(others)
    return writer.pick((
        f"; there is also {article} {phrase}", f", with {article} {phrase}",
        f", in addition to {article} {phrase}", f", as well as {article} {phrase}",
    ))  # fmt: skip
