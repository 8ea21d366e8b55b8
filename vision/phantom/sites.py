"""Where lesions of a phantom lie, what they may look like there, and the labels that makes true.

Adding a site is one entry in `SITES`; its words stand in `vision.phantom.words`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from vision.phantom.body import VERTEBRA_MM, Body, Vector, fissure_y, outline, spine_y


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """A kind of lesion: its labels, its diameters and density, and how often it has attributes.

    `hu` is added to the organ's own density where `relative`.
    """

    kind: str
    labels: tuple[str, ...]
    diameters_mm: tuple[float, float]
    hu: tuple[float, float]
    weight: float = 1.0
    relative: bool = False
    edge_mm: float = 1.5
    attributes: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A place for lesions: its labels, its DeepLesion type, the organ or spots it lies in.

    `spots` are the centres (body coordinates) around which lesions scatter by `spread_mm`;
    without any, lesions lie anywhere in the organ.
    """

    name: str
    labels: tuple[str, ...]
    region: str
    coarse_type: int
    looks: tuple[Look, ...] = field(hash=False)
    organ: str = ""
    spots: tuple[Vector, ...] = ()
    spread_mm: Vector = (3.0, 3.0, 8.0)
    weight: int = 2


_CALCIUM = {"calcified": 0.15}
_LUNG: Final = (
    Look(
        kind="nodule", labels=("lung nodule",), diameters_mm=(4, 28), hu=(10, 60), weight=5,
        attributes={"calcified": 0.2, "cavitary": 0.25, "spiculated": 0.3, "lobular": 0.3},
    ),
    Look(
        kind="mass", labels=("lung mass",), diameters_mm=(32, 66), hu=(10, 60), weight=3,
        attributes={"cavitary": 0.3, "spiculated": 0.35, "lobular": 0.4},
    ),
    Look(
        kind="ground-glass", labels=("ground-glass opacity",), diameters_mm=(10, 38),
        hu=(-640, -480), weight=2.5, edge_mm=5,
    ),
)  # fmt: skip
_ORGAN: Final = (
    Look(kind="cyst", labels=("cyst", "hypoattenuation"), diameters_mm=(8, 58), hu=(0, 14)),
    Look(
        kind="lesion", labels=("hypoattenuation",), diameters_mm=(8, 28), hu=(-65, -42),
        relative=True, edge_mm=3.5, attributes=_CALCIUM,
    ),
    Look(
        kind="lesion", labels=("hyperattenuation",), diameters_mm=(9, 29), hu=(55, 95),
        relative=True, edge_mm=2.5, weight=0.9,
    ),
)  # fmt: skip
_LIVER: Final = (
    *_ORGAN,
    Look(
        kind="mass", labels=("liver mass", "hypoattenuation"), diameters_mm=(32, 80), hu=(-65, -42),
        relative=True, edge_mm=3, weight=2.5, attributes={"lobular": 0.5, "calcified": 0.25},
    ),
)  # fmt: skip
_KIDNEY: Final = (
    Look(
        kind="cyst", labels=("kidney cyst", "hypoattenuation"), diameters_mm=(9, 58), hu=(0, 14),
        weight=1.5,
    ),
    Look(
        kind="mass", labels=("mass", "hypoattenuation"), diameters_mm=(32, 64), hu=(70, 100),
        edge_mm=2.5, attributes={"lobular": 0.4, "calcified": 0.2},
    ),
)  # fmt: skip
_GLAND: Final = (
    Look(
        kind="nodule", labels=("nodule",), diameters_mm=(11, 28), hu=(10, 50), weight=1.5,
        attributes=_CALCIUM,
    ),
    Look(
        kind="mass", labels=("mass",), diameters_mm=(32, 60), hu=(20, 70),
        attributes={"lobular": 0.4, "calcified": 0.2},
    ),
)  # fmt: skip
_NODE: Final = (
    Look(kind="node", labels=(), diameters_mm=(7, 13), hu=(40, 80), attributes=_CALCIUM),
    Look(
        kind="adenopathy", labels=("lymphadenopathy",), diameters_mm=(17, 46), hu=(40, 80),
        weight=1.5, attributes={"calcified": 0.15, "lobular": 0.3},
    ),
)  # fmt: skip
_BONE: Final = (
    Look(kind="lesion", labels=("sclerotic",), diameters_mm=(8, 26), hu=(700, 950), edge_mm=2.5),
    Look(kind="lesion", labels=("lytic",), diameters_mm=(10, 30), hu=(20, 60), edge_mm=2),
)
_WALL: Final = (
    Look(kind="nodule", labels=("nodule",), diameters_mm=(8, 20), hu=(20, 60), attributes=_CALCIUM),
)
_MUSCLE: Final = (
    Look(kind="lipoma", labels=("lipoma",), diameters_mm=(16, 62), hu=(-112, -92)),
    Look(
        kind="mass", labels=("mass", "hyperattenuation"), diameters_mm=(32, 66), hu=(120, 150),
        edge_mm=2.5, weight=0.8, attributes={"lobular": 0.3},
    ),
)  # fmt: skip


def _lobe(name: str, label: str) -> Site:
    side = name.split()[0]
    return Site(
        name=name, labels=(label,), region="chest", coarse_type=5, looks=_LUNG,
        organ=f"{side} lung", weight=3,
    )  # fmt: skip


def _organ(name: str, looks: tuple[Look, ...], coarse_type: int, *, weight: int = 2) -> Site:
    return Site(
        name=name, labels=(name,), region="abdomen", coarse_type=coarse_type, looks=looks,
        organ=name, weight=weight,
    )  # fmt: skip


def _nodes(
    name: str, region: str, coarse_type: int, *spots: Vector, labels: tuple[str, ...] = ()
) -> Site:
    labels = labels or (name,)
    return Site(
        name=name, labels=labels, region=region, coarse_type=coarse_type, looks=_NODE, spots=spots
    )


SITES: Final[dict[str, Site]] = {
    site.name: site
    for site in (
        _lobe("right upper lobe", "right upper lobe"),
        _lobe("right middle lobe", "right mid lung"),
        _lobe("right lower lobe", "right lower lobe"),
        _lobe("left upper lobe", "left upper lung"),
        _lobe("left lower lobe", "left lower lobe"),
        _nodes("mediastinum lymph node", "chest", 3, (-14, 0, 88), (0, 24, 126), (12, -36, 66)),
        _nodes("axilla lymph node", "chest", 7, (-141, 4, 62), (141, 4, 62)),
        _organ("liver", _LIVER, 4, weight=3),
        _organ("spleen", _ORGAN, 2),
        _organ("right kidney", _KIDNEY, 6),
        _organ("left kidney", _KIDNEY, 6),
        Site(
            name="right adrenal gland", labels=("right adrenal gland",), region="abdomen",
            coarse_type=2, looks=_GLAND, spots=((-35, 32, 306),), spread_mm=(2, 2, 4),
        ),
        Site(
            name="left adrenal gland", labels=("left adrenal gland",), region="abdomen",
            coarse_type=2, looks=_GLAND, spots=((39, 28, 306),), spread_mm=(2, 2, 4),
        ),
        _nodes(
            "retroperitoneum lymph node", "abdomen", 2, (27, 20, 395), (27, 22, 430), (-4, 16, 440),
            labels=("retroperitoneum lymph node", "abdomen lymph node", "paraaortic"),
        ),
        _nodes("iliac lymph node", "pelvis", 8, (-56, -6, 535), (56, -6, 535), (62, 4, 555)),
        Site(
            name="thoracic spine", labels=("thoracic spine",), region="chest", coarse_type=1,
            looks=_BONE, spots=((0, 0, 4.4), (0, 0, 6.4)),
        ),
        Site(
            name="lumbar spine", labels=("lumbar", "abdomen"), region="abdomen",
            coarse_type=1, looks=_BONE, spots=((0, 0, 11.4), (0, 0, 13.4)),
        ),
        Site(
            name="pelvic bone", labels=("pelvic bone",), region="pelvis", coarse_type=1,
            looks=_BONE, spots=((-92, 34, 495), (92, 34, 495)), spread_mm=(1.5, 5, 14),
        ),
        Site(
            name="abdominal wall", labels=("anterior abdominal wall", "subcutaneous fat"),
            region="abdomen", coarse_type=7, looks=_WALL,
        ),
        Site(
            name="gluteal muscle", labels=("muscle", "pelvis"), region="pelvis",
            coarse_type=7, looks=_MUSCLE, spots=((-88, 74, 525), (88, 74, 525)),
            spread_mm=(8, 3, 14),
        ),
    )
}  # fmt: skip


# The ranks of a long-tailed phantom, about as common organs are in DeepLesion; the rest follow.
COMMONEST: Final = (
    "right upper lobe", "mediastinum lymph node", "liver", "retroperitoneum lymph node",
    "left lower lobe", "left kidney", "right lower lobe", "iliac lymph node", "left upper lobe",
    "axilla lymph node", "right kidney", "abdominal wall", "right middle lobe", "spleen",
    "lumbar spine", "left adrenal gland", "pelvic bone", "gluteal muscle", "right adrenal gland",
    "thoracic spine",
)  # fmt: skip


def place_in(
    body: Body, site: Site, look: Look, radius_mm: float, rng: np.random.Generator
) -> tuple[Vector, bool]:
    """Draw a place for a lesion, in body coordinates, and whether it bulges out of its organ."""
    if site.looks is _LUNG:
        return _in_lobe(body, site, radius_mm, rng), False
    if site.looks is _KIDNEY and rng.random() < 0.4:
        return _on_kidney(body, site, radius_mm, rng), True
    if site.organ:
        return _in_organ(body, site, radius_mm, rng), False
    if site.looks is _WALL:
        return _under_skin(body, radius_mm, rng), False
    spot = site.spots[rng.integers(len(site.spots))]
    spot = _vertebra(spot[2], rng) if "spine" in site.name else spot
    offset = rng.uniform(-1, 1, 3) * site.spread_mm
    x, y, z = np.add(spot, offset if "spine" not in site.name else (offset[0], 0, 0))
    return (float(x), float(y), float(z)), False


def _in_lobe(body: Body, site: Site, radius_mm: float, rng: np.random.Generator) -> Vector:
    lung, heart, low = body.shape(site.organ), body.shape("heart"), "lower" in site.name
    heights = {"upper": (30, 118), "middle": (140, 195), "lower": (108, 195)}
    top, end = heights[site.name.split()[1]]
    end = 165 if site.name == "left upper lobe" else end
    point = lung.centre
    for _ in range(200):
        point = (
            lung.centre[0] + rng.uniform(-0.75, 0.75) * lung.radii[0],
            lung.centre[1] + rng.uniform(-0.85, 0.85) * lung.radii[1],
            rng.uniform(top, end),
        )
        behind = point[1] - fissure_y(point[2])
        margin = min(14.0, 6 + radius_mm / 3)
        in_lobe = behind > margin if low else behind < -margin
        beside = abs(point[0]) > 42 + min(radius_mm, 14) / 2  # not in the mediastinum
        free = lung.holds(point, share=0.86) and not heart.holds(point, share=1.25)
        if in_lobe and beside and free:
            break
    return point


def _in_organ(body: Body, site: Site, radius_mm: float, rng: np.random.Generator) -> Vector:
    """Within the organ, the nearer to its centre the larger the lesion."""
    organ = body.shape(site.organ)
    free = [max(0.15 * r, 0.86 * r - radius_mm) for r in organ.radii]
    direction = rng.normal(size=3)
    direction *= rng.random() ** (1 / 3) / np.linalg.norm(direction)
    x, y, z = np.add(organ.centre, direction * free)
    return float(x), float(y), float(z)


def _on_kidney(body: Body, site: Site, radius_mm: float, rng: np.random.Generator) -> Vector:
    """At the outer or rear surface, more than half of it outside."""
    kidney = body.shape(site.organ)
    side = np.sign(kidney.centre[0])
    turn = rng.uniform(-0.5, 1.0)  # 0 is lateral, pi / 2 behind
    away = 1 + 0.35 * radius_mm / 30
    return (
        float(kidney.centre[0] + side * np.cos(turn) * kidney.radii[0] * away),
        float(kidney.centre[1] + np.sin(turn) * kidney.radii[1] * away),
        float(kidney.centre[2] + rng.uniform(-0.3, 0.3) * kidney.radii[2]),
    )


def _under_skin(body: Body, radius_mm: float, rng: np.random.Generator) -> Vector:
    """In the fat of the front of the abdomen."""
    z = rng.uniform(330, 470)
    width, depth = outline(z)
    deep = max(body.fat_mm / 2, min(radius_mm + 3, body.fat_mm))
    x = rng.uniform(-75, 75)
    y = -(depth - deep) * (1 - (abs(x) / (width - deep)) ** 2.4) ** (1 / 2.4)
    return float(x), float(y), float(z)


def _vertebra(level: float, rng: np.random.Generator) -> Vector:
    """The middle of a vertebral body; levels are counted in vertebrae from the lung apex."""
    z = (level + rng.integers(0, 2)) * VERTEBRA_MM
    return 0.0, spine_y(float(z)), float(z)
