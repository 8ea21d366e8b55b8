"""The lesions of a phantom: what each looks like, which labels that makes true, how it is measured.

The label names are those of the ontology; ancestors are left to whoever knows the ontology.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vision.phantom.body import Body, Floats, Vector
from vision.phantom.sites import Look, Site, place_in

LARGE_MM: Final = 50.0
TINY_MM: Final = 6.0
SUBCENTIMETER_MM: Final = 10.0
ATTRIBUTES: Final = ("calcified", "cavitary", "spiculated", "lobular")
_ANGLES: Final = np.linspace(0, 2 * np.pi, 72, endpoint=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesion:
    """A lesion: an ellipsoid whose outline has waves and spikes, in patient coordinates (mm).

    `waves` are (amplitude, number, phase) of cosines around the outline, relative to the radius;
    `spikes` are (angle, height). `flecks` are calcifications: offset in radii, radius in radii.
    `hollow` is the share of the radius that is air.
    """

    site: Site
    look: Look
    centre: Vector
    radii: Vector
    angle: float
    hu: float
    labels: frozenset[str]
    waves: tuple[tuple[float, int, float], ...] = ()
    spikes: tuple[tuple[float, float], ...] = ()
    flecks: tuple[tuple[float, float, float, float], ...] = ()
    fleck_hu: float = 0.0
    hollow: float = 0.0

    def outline(self, theta: Floats) -> Floats:
        """The radius of the outline, without spikes, relative to the ellipse."""
        radius = np.ones_like(theta)
        for amplitude, number, phase in self.waves:
            radius += amplitude * np.cos(number * theta + phase)
        return radius

    @property
    def reach_mm(self) -> float:
        """No part of the lesion lies farther from its centre, in the plane."""
        spread = 1 + sum(a for a, _, _ in self.waves) + max((h for _, h in self.spikes), default=0)
        return spread * max(self.radii[:2]) + self.look.edge_mm


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """The longest diameter in the key slice and the one across it: end points and lengths in mm."""

    points: NDArray[np.float64] = field(compare=False)
    lengths: tuple[float, float] = (0.0, 0.0)


def measure(lesion: Lesion) -> Measurement:
    """Measure a lesion as radiologists do (RECIST): longest diameter, longest one across it.

    Returns:
        `points`: (4, 2), two ends of the long diameter, two of the short one.
    """
    edge = lesion.outline(_ANGLES)[:, None] * np.c_[np.cos(_ANGLES), np.sin(_ANGLES)]
    edge *= lesion.radii[:2]
    cos, sin = np.cos(lesion.angle), np.sin(lesion.angle)
    edge = edge @ np.array([[cos, sin], [-sin, cos]]) + lesion.centre[:2]
    apart = np.linalg.norm(edge[:, None] - edge[None], axis=2)
    i, j = np.unravel_index(apart.argmax(), apart.shape)
    along = (edge[j] - edge[i]) / apart[i, j]
    across = np.array([-along[1], along[0]])
    position, height = edge @ along, edge @ across
    level = np.abs(position[:, None] - position[None]) < 0.12 * apart[i, j]
    extent = np.where(level, height[:, None] - height[None], 0)
    k, m = np.unravel_index(extent.argmax(), extent.shape)
    lengths = (float(apart[i, j]), float(extent[k, m]))
    return Measurement(points=edge[[i, j, m, k]], lengths=lengths)


def make_lesion(
    body: Body,
    site: Site,
    rng: np.random.Generator,
    *,
    others: tuple[Lesion, ...] = (),
    tail: float = 0.0,
) -> Lesion | None:
    """Draw a lesion for a site, or None where the patient has no room for it left.

    Half of the lesions move to the height of an earlier one if that is near, so that slices with
    several lesions are common. `tail` makes looks and attributes the rarer the later
    they are listed.
    """
    looks = site.looks
    weights = np.array([look.weight * rank**-tail for rank, look in enumerate(looks, 1)])
    look = looks[rng.choice(len(looks), p=weights / weights.sum())]
    diameter = float(np.exp(rng.uniform(*np.log(look.diameters_mm))))
    aspect = rng.uniform(0.68, 0.98)
    a = diameter / 2
    radii = (a, a * aspect, a * rng.uniform(0.75, 1.1))
    share_slice = rng.random() < 0.5
    for _ in range(12):
        spot, exophytic = place_in(body, site, look, a, rng)
        centre = body.to_world(spot)
        near = [o.centre[2] for o in others if abs(o.centre[2] - centre[2]) < 6]
        if share_slice and near:
            centre = (centre[0], centre[1], near[0])
        if all(_apart(centre, radii, other) for other in others):
            return _finish(site, look, centre, radii, exophytic, body, rng, tail)
    return None


def _apart(centre: Vector, radii: Vector, other: Lesion) -> bool:
    far = float(np.linalg.norm(np.subtract(centre, other.centre)))
    return far > 1.2 * (max(radii) + max(other.radii)) + 6


def _finish(
    site: Site, look: Look, centre: Vector, radii: Vector, exophytic: bool, body: Body,
    rng: np.random.Generator, tail: float,
) -> Lesion:  # fmt: skip
    """Draw what makes the lesion look like itself, and note the labels that this makes true."""
    diameter = 2 * radii[0]
    rarity = {name: rank**-tail for rank, name in enumerate(look.attributes, 1)}
    shown = {n for n in ATTRIBUTES if rng.random() < rarity.get(n, 0) * look.attributes.get(n, 0)}
    shown -= {"cavitary"} if diameter < 14 else set()
    shown -= {"spiculated"} if diameter < 8 else set()
    shown -= {"lobular"} if diameter < 12 or "spiculated" in shown else set()
    shown -= {"calcified"} if "cavitary" in shown else set()
    hu = rng.uniform(*look.hu) + (body.shape(site.organ).hu if look.relative else 0.0)
    lesion = Lesion(
        site=site, look=look, centre=centre, radii=radii, angle=rng.uniform(0, np.pi), hu=hu,
        labels=frozenset((*site.labels, *look.labels, *shown)),
        waves=tuple(_waves(rng, lobular="lobular" in shown)),
        spikes=tuple(_spikes(rng)) if "spiculated" in shown else (),
        flecks=tuple(_flecks(rng, diameter)) if "calcified" in shown else (),
        fleck_hu=rng.uniform(380, 700), hollow=rng.uniform(0.5, 0.72) * ("cavitary" in shown),
    )  # fmt: skip
    return _with_derived_labels(lesion, exophytic=exophytic)


def _with_derived_labels(lesion: Lesion, *, exophytic: bool) -> Lesion:
    longest = measure(lesion).lengths[0]
    derived = {
        "large": longest >= LARGE_MM,
        "tiny": longest <= TINY_MM,
        "subcentimeter": longest < SUBCENTIMETER_MM,
        "exophytic": exophytic,
        "lobular mass": "lobular" in lesion.labels and lesion.look.kind == "mass",
    }
    return replace(lesion, labels=lesion.labels | {name for name, true in derived.items() if true})


def _waves(rng: np.random.Generator, *, lobular: bool) -> Iterator[tuple[float, int, float]]:
    yield 0.03, 2, rng.uniform(0, 6.28)
    yield 0.03, 3, rng.uniform(0, 6.28)
    if lobular:
        yield rng.uniform(0.1, 0.15), int(rng.integers(4, 7)), rng.uniform(0, 6.28)


def _spikes(rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    count = int(rng.integers(8, 14))
    for i in range(count):
        yield (i + rng.uniform(-0.3, 0.3)) * 2 * np.pi / count, rng.uniform(0.35, 0.75)


def _flecks(
    rng: np.random.Generator, diameter: float
) -> Iterator[tuple[float, float, float, float]]:
    """Small lesions are calcified as a whole, larger ones in several places."""
    if diameter < 12:
        yield 0.0, 0.0, 0.0, 0.72
        return
    for i in range(int(rng.integers(4, 8))):
        angle, far = rng.uniform(0, 6.28), rng.uniform(0.1, 0.6)
        height = 0.0 if i < 2 else rng.uniform(-0.5, 0.5)  # the key slice shows some
        yield far * np.cos(angle), far * np.sin(angle), height, rng.uniform(0.14, 0.26)


def draw_lesion(hu: Floats, axes: tuple[Floats, Floats], z_mm: float, lesion: Lesion) -> None:
    """Draw the part of a lesion that a slice cuts into the slice, in place.

    Args:
        hu: The slice, (H, W).
        axes: Positions of columns and rows in mm.
        z_mm: Height of the slice.
        lesion: What to draw.
    """
    height = (z_mm - lesion.centre[2]) / lesion.radii[2]
    if abs(height) > 1.3:
        return
    spans = [
        slice(*np.searchsorted(axis, (c - lesion.reach_mm, c + lesion.reach_mm)))
        for axis, c in zip(axes, lesion.centre, strict=False)
    ]
    part = hu[spans[1], spans[0]]
    if not part.size:
        return
    dx, dy = axes[0][spans[0]] - lesion.centre[0], axes[1][spans[1], None] - lesion.centre[1]
    cos, sin = np.float32(np.cos(lesion.angle)), np.float32(np.sin(lesion.angle))
    u, v = (dx * cos + dy * sin) / lesion.radii[0], (dy * cos - dx * sin) / lesion.radii[1]
    theta = np.arctan2(v, u)
    rho = np.sqrt(u * u + v * v + np.float32(height**2))
    limit = lesion.outline(theta)
    for angle, tall in lesion.spikes:
        off = np.abs((theta - angle + np.pi) % (2 * np.pi) - np.pi)
        limit += tall * np.exp(-off / 0.07) * (1 - min(1, abs(height)))
    _mix(part, lesion.hu, (limit - rho) * min(lesion.radii), lesion.look.edge_mm)
    if lesion.hollow:
        _mix(part, -940, (lesion.hollow * limit - rho) * min(lesion.radii), 1.5)
    for x, y, z, radius in lesion.flecks:
        far = np.sqrt((u - x) ** 2 + (v - y) ** 2 + (height - z) ** 2)
        _mix(part, lesion.fleck_hu, (radius - far) * min(lesion.radii), 1.2)


def _mix(part: Floats, hu: float, depth_mm: Floats, edge_mm: float) -> None:
    alpha = np.clip(depth_mm / np.float32(edge_mm) + np.float32(0.5), 0, 1)
    part += alpha * (np.float32(hu) - part)
