"""Phantom patients: which lesions each has, in which slices they lie, and those slices in HU."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from vision.errors import InputError
from vision.images import BOX_MARGIN_PX
from vision.phantom.body import Body, Floats
from vision.phantom.drawing import Grid, draw_slice
from vision.phantom.lesions import Lesion, make_lesion, measure
from vision.phantom.organs import make_body
from vision.phantom.sites import COMMONEST, SITES, Site

INTERVALS_MM: Final = (1.25, 2.0, 2.5, 3.0, 5.0)
LESIONS_PER_PATIENT: Final = (0.3, 0.28, 0.2, 0.12, 0.1)  # one, two, ...
TOP_MM: Final = -30.0
MOST_TAIL: Final = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PhantomConfig:
    """How many lesions to draw, and how.

    `margin_mm` of slices is drawn on both sides of each key slice, one at least. The report options
    are shares: of the true attributes and places that a sentence leaves out (`omitted`), of the
    sentences that mention what is not true of their lesion (`distracted`), and of the reports that
    mark lesions with hyperlinks and not by sizes alone (`hyperlinked`). `tail` makes frequencies
    long-tailed: what is rank r by frequency among the sites, the looks of a site and the attributes
    of a look becomes r ** tail times as rare. At 0 all are about as common. Of the labels published
    with LesaNet, ancestors included, 11 % are on more than 5.2 % of the lesions (1,000 of 19,213),
    and 42 % on 0.52 % or less: at 2 these are 28 % and 29 %, at 0 they are 55 % and none.
    """

    lesions: int = 400
    seed: int = 0
    size_px: int = 384
    margin_mm: float = 4.0
    omitted: float = 0.3
    distracted: float = 0.3
    hyperlinked: float = 0.6
    tail: float = 0.0

    def __post_init__(self) -> None:
        if self.lesions < 1:
            raise InputError(f"A phantom needs at least one lesion, not {self.lesions}.")
        if self.size_px < 64:
            raise InputError(f"Slices of {self.size_px} pixels are too small; take 64 or more.")
        if not 0 <= self.tail <= MOST_TAIL:
            raise InputError(f"'tail' lies between 0 and {MOST_TAIL:g}, not at {self.tail:g}.")
        for name in ("omitted", "distracted", "hyperlinked"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"'{name}' is a share between 0 and 1, not {getattr(self, name)}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A lesion as measured in its key slice.

    `points_px` (4, 2) are the ends of the long and of the short diameter; `box_px` (x0, y0, x1, y1)
    surrounds them with a margin of 5 pixels, as DeepLesion's boxes do; both 0-based.
    """

    lesion: Lesion
    slice_index: int
    number: int  # among the lesions of its slice
    lengths_mm: tuple[float, float]
    points_px: tuple[tuple[float, float], ...]
    box_px: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A patient with one study of one series; `findings` in the order of DL_info's rows."""

    number: int
    split: str
    sex: str
    age: int
    body: Body
    grid: Grid
    interval_mm: float
    findings: tuple[Finding, ...]
    slices: tuple[int, ...]
    config: PhantomConfig

    @property
    def patient_id(self) -> str:
        """The patient's number in DeepLesion's form."""
        return f"{self.number:06d}"

    @property
    def series(self) -> str:
        """The folder of the slices: patient, study, series."""
        return f"{self.patient_id}_01_01"

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Pixel spacing x, y and slice interval."""
        return (self.grid.spacing_mm, self.grid.spacing_mm, self.interval_mm)

    def lesion_id(self, finding: Finding) -> str:
        """The name of the key slice, and the number of the lesion on it."""
        return f"{self.series}_{finding.slice_index:03d}.png#{finding.number}"

    def z_mm(self, slice_index: int) -> float:
        """Height of a slice in the patient; indices count from 1 at the top."""
        return TOP_MM + (slice_index - 1) * self.interval_mm

    def draw(self, slice_index: int) -> Floats:
        """Draw a slice, (H, W) HU."""
        rng = np.random.default_rng([self.config.seed, self.number, 2, slice_index])
        lesions = [finding.lesion for finding in self.findings]
        return draw_slice(self.body, self.grid, self.z_mm(slice_index), lesions, rng)


def make_cases(config: PhantomConfig) -> Iterator[Case]:
    """Draw the patients one after the other; equal configs give equal patients.

    Sites are dealt from shuffled decks, so that each is about as common as its weight says. The
    patients are split 70 / 15 / 15 into train, validation and test.
    """
    hands = list(_deal(config))
    splits = _splits(len(hands), np.random.default_rng([config.seed, 0, 1]))
    for number, (hand, split) in enumerate(zip(hands, splits, strict=True), start=1):
        yield make_case(number, hand, split, config)


def _deal(config: PhantomConfig) -> Iterator[list[Site]]:
    rng = np.random.default_rng([config.seed, 0, 0])
    full = [site for site in SITES.values() for _ in range(_copies(site, config.tail))]
    deck: list[Site] = []
    left = config.lesions
    while left:
        count = min(left, 1 + int(rng.choice(len(LESIONS_PER_PATIENT), p=LESIONS_PER_PATIENT)))
        while len(deck) < count:
            deck += [full[i] for i in rng.permutation(len(full))]
        yield [deck.pop(0) for _ in range(count)]
        left -= count


def _copies(site: Site, tail: float) -> int:
    """How often a site is in a deck: at least once, the more the higher it ranks."""
    ranked = (*COMMONEST, *(name for name in SITES if name not in COMMONEST))
    rank = 1 + ranked.index(site.name)
    return max(1, round(site.weight * math.pow(len(ranked) / rank, tail)))


def _splits(count: int, rng: np.random.Generator) -> list[str]:
    few = max(1, round(0.15 * count)) if count > 2 else 0
    names = ["validation"] * few + ["test"] * few + ["train"] * (count - 2 * few)
    return [names[i] for i in rng.permutation(count)]


def make_case(number: int, sites: Sequence[Site], split: str, config: PhantomConfig) -> Case:
    """Draw a patient with a lesion at each of the sites."""
    rng = np.random.default_rng([config.seed, number, 1])
    body = make_body(rng)
    interval = INTERVALS_MM[rng.choice(len(INTERVALS_MM), p=(0.1, 0.2, 0.3, 0.2, 0.2))]
    field = 2 * 178 * body.scale[0] * rng.uniform(1.04, 1.14)
    middle = (rng.normal(0, 3), rng.normal(0, 3))
    grid = Grid(
        size_px=config.size_px, spacing_mm=round(field / config.size_px, 6), centre_mm=middle
    )
    lesions: list[Lesion] = []
    for site in sites:
        lesions.append(_lesion_on_a_slice(body, site, interval, lesions, rng, config.tail))
    findings = _find(lesions, grid, interval)
    margin = max(1, int(config.margin_mm / interval))
    keys = {finding.slice_index for finding in findings}
    return Case(
        number=number, split=split, sex=str(rng.choice(("F", "M"))), age=int(rng.integers(24, 88)),
        body=body, grid=grid, interval_mm=interval, findings=findings, config=config,
        slices=tuple(sorted({k + d for k in keys for d in range(-margin, margin + 1)})),
    )  # fmt: skip


def _lesion_on_a_slice(
    body: Body,
    site: Site,
    interval: float,
    others: list[Lesion],
    rng: np.random.Generator,
    tail: float,
) -> Lesion:
    """A lesion whose centre lies in a slice; at another site if this one has no room left."""
    names = list(SITES)
    while True:
        lesion = make_lesion(body, site, rng, others=tuple(others), tail=tail)
        if lesion:
            x, y, z = lesion.centre
            z = TOP_MM + round((z - TOP_MM) / interval) * interval
            return replace(lesion, centre=(x, y, z))
        site = SITES[names[rng.integers(len(names))]]


def _find(lesions: list[Lesion], grid: Grid, interval: float) -> tuple[Finding, ...]:
    """Measure the lesions; in the order of their slices, numbered on each slice."""
    findings: list[Finding] = []
    for lesion in sorted(lesions, key=lambda each: each.centre[2]):
        index = 1 + round((lesion.centre[2] - TOP_MM) / interval)
        measured = measure(lesion)
        points = tuple(grid.to_px(float(x), float(y)) for x, y in measured.points)
        low, high = np.min(points, axis=0) - BOX_MARGIN_PX, np.max(points, axis=0) + BOX_MARGIN_PX
        box = tuple(float(c) for c in np.clip((*low, *high), 0, grid.size_px - 1))
        findings.append(
            Finding(
                lesion=lesion, slice_index=index, lengths_mm=measured.lengths, points_px=points,
                number=sum(other.slice_index == index for other in findings), box_px=box,  # type: ignore[arg-type]
            )
        )  # fmt: skip
    return tuple(findings)
