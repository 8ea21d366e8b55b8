"""The body of a phantom: its shapes, its trunk, and how it is bent.

Body coordinates in mm: x from the patient's right (negative) to the left, y from anterior
(negative) to posterior, z from the top of the lungs towards the feet. The organs stand in
`organs.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]
Floats = NDArray[np.float32]
FAT_HU: Final = -100.0
VERTEBRA_MM: Final = 33.0  # with its disc


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A superellipsoid: |u|^power + |v|^power <= 1 - |w|^taper, with u, v, w = offset / radius.

    A high `taper` makes a tube along z. `angle` turns the cross-section (radians). `inside` names
    what cuts the shape off: the rib cage with the abdominal cavity ("cage"), the lungs, or nothing.
    """

    name: str
    centre: Vector
    radii: Vector
    hu: float
    power: float = 2.0
    taper: float = 2.0
    angle: float = 0.0
    edge_mm: float = 1.5
    inside: str = ""

    def section(self, z: float) -> float:
        """By how much the cross-section at height z is smaller than the radii; 0 is none."""
        w = abs(z - self.centre[2]) / self.radii[2]
        return float((1 - w**self.taper) ** (1 / self.power)) if w < 1 else 0.0

    def holds(self, point: Vector, *, share: float = 1.0) -> bool:
        """Whether a point lies in the shape shrunk to this share of its radii."""
        offset = np.subtract(point, self.centre)
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        u = (offset[0] * cos + offset[1] * sin) / (share * self.radii[0])
        v = (offset[1] * cos - offset[0] * sin) / (share * self.radii[1])
        w = abs(offset[2]) / (share * self.radii[2])
        return bool(abs(u) ** self.power + abs(v) ** self.power + w**self.taper <= 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vessel:
    """A straight lung vessel between two points."""

    start: Vector
    end: Vector
    radius: float


@dataclass(frozen=True, kw_only=True)
class Body:
    """A patient: organs in the order in which they are drawn, and how the body is bent.

    `scale` is (x, y, z). `bends` holds (amplitude_mm, wavelength_mm, phase, phase per mm of z) of
    the sine by which x is shifted along y, and of the one by which y is shifted along x.
    """

    scale: Vector
    bends: tuple[tuple[float, float, float, float], ...]
    fat_mm: float
    shapes: tuple[Shape, ...]
    vessels: tuple[Vessel, ...]
    noise_hu: float

    def shape(self, name: str) -> Shape:
        """The organ of this name."""
        return next(shape for shape in self.shapes if shape.name == name)

    def shift(self, x: Floats, y: Floats, z: float) -> tuple[Floats, Floats]:
        """The bend in mm: of x, for each y; of y, for each x."""
        (ax, lx, px, qx), (ay, ly, py, qy) = self.bends
        along_y = ax * np.sin(2 * np.pi * y / lx + px + qx * z)
        along_x = ay * np.sin(2 * np.pi * x / ly + py + qy * z)
        return along_y.astype(np.float32), along_x.astype(np.float32)

    def to_world(self, point: Vector) -> Vector:
        """Where a point of the standard body lies in this patient, in mm."""
        x, y, z = (c * s for c, s in zip(point, self.scale, strict=True))
        world_x, world_y = x, y
        for _ in range(6):  # world + shift(world) = scaled point; the shift varies slowly
            dx, dy = self.shift(np.float32(world_x), np.float32(world_y), z)  # type: ignore[arg-type]
            world_x, world_y = x - float(dx), y - float(dy)
        return world_x, world_y, z


def outline(z: float) -> tuple[float, float]:
    """Half width and half depth of the trunk at height z, in mm."""
    heights = (-40, 0, 60, 200, 300, 400, 480, 560, 640)
    width = np.interp(z, heights, (120, 158, 172, 168, 160, 155, 170, 176, 170))
    depth = np.interp(z, heights, (75, 92, 108, 112, 112, 108, 114, 114, 105))
    return float(width), float(depth)


def cage(z: float) -> tuple[float, float]:
    """Half width and half depth of the inside of the rib cage, abdomen and pelvis, in mm."""
    heights = (-40, 0, 50, 130, 230, 330, 420, 500, 640)
    width = np.interp(z, heights, (45, 75, 112, 136, 138, 132, 124, 116, 100))
    depth = np.interp(z, heights, (40, 62, 84, 92, 92, 88, 84, 78, 66))
    return float(width), float(depth)


def spine_y(z: float) -> float:
    """The centre of the vertebral bodies: bent back in the chest, forward in the loins."""
    return float(np.interp(z, (-40, 0, 120, 250, 420, 500, 600), (40, 48, 66, 64, 44, 54, 86)))


def fissure_y(z: float) -> float:
    """The oblique fissure: lung in front of it is upper or middle lobe, behind it lower lobe."""
    return float(np.interp(z, (-40, 60, 210, 260), (110, 70, -60, -103)))
