"""Draw slices of a phantom in HU: layers of the trunk, organs, bones, lesions, noise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vision.phantom.body import (
    FAT_HU,
    VERTEBRA_MM,
    Body,
    Floats,
    Shape,
    cage,
    fissure_y,
    outline,
    spine_y,
)
from vision.phantom.lesions import Lesion, draw_lesion

RIB_SPACING_MM: Final = 27.0


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The pixels of a slice: how large the picture is, and where its middle lies."""

    size_px: int
    spacing_mm: float
    centre_mm: tuple[float, float] = (0.0, 0.0)

    def axes(self) -> tuple[Floats, Floats]:
        """Positions in mm of columns and rows, (W,) and (H,)."""
        steps = (np.arange(self.size_px) - (self.size_px - 1) / 2) * self.spacing_mm
        x, y = (steps + c for c in self.centre_mm)
        return x.astype(np.float32), y.astype(np.float32)

    def to_px(self, x: float, y: float) -> tuple[float, float]:
        """Column and row of a place in mm; pixel centres are whole numbers."""
        middle = (self.size_px - 1) / 2
        return tuple(  # type: ignore[return-value]
            (mm - c) / self.spacing_mm + middle
            for mm, c in zip((x, y), self.centre_mm, strict=True)
        )


class Canvas:
    """A slice being drawn: HU, and the body coordinates (H, W) of its pixels."""

    def __init__(self, body: Body, grid: Grid, z_mm: float) -> None:
        axis_x, axis_y = grid.axes()
        along_y, along_x = body.shift(axis_x, axis_y, z_mm)
        self.x: Floats = (axis_x[None, :] + along_y[:, None]) / np.float32(body.scale[0])
        self.y: Floats = (axis_y[:, None] + along_x[None, :]) / np.float32(body.scale[1])
        self.z = z_mm / body.scale[2]
        self.grid, self.body = grid, body
        self.hu: Floats = np.full(self.x.shape, -1000, np.float32)
        self.masks: dict[str, Floats] = {}

    def window(self, centre: tuple[float, float], reach: float) -> tuple[slice, slice] | None:
        """The rows and columns that a shape may cover, or None where it misses the picture."""
        scale, margin = self.body.scale, 6 + sum(abs(bend[0]) for bend in self.body.bends)
        spans = []
        px = self.grid.to_px(centre[0] * scale[0], centre[1] * scale[1])
        for middle, factor in zip(px, scale, strict=False):
            half = (reach * factor + margin) / self.grid.spacing_mm
            low, high = max(0, int(middle - half)), min(self.grid.size_px, int(middle + half) + 2)
            if low >= high:
                return None
            spans.append(slice(low, high))
        return spans[1], spans[0]

    def blend(self, hu: float | Floats, alpha: Floats, at: tuple[slice, slice]) -> None:
        """Mix a density into a part of the slice."""
        part = self.hu[at]
        part += alpha * (hu - part)


def draw_slice(
    body: Body, grid: Grid, z_mm: float, lesions: Iterable[Lesion], rng: np.random.Generator
) -> Floats:
    """Draw a slice.

    Args:
        body: The patient.
        grid: The pixels.
        z_mm: Height of the slice in the patient, in mm.
        lesions: Those that reach into the slice are drawn.
        rng: For the noise.

    Returns:
        HU, (H, W) float32; row 0 is anterior, column 0 the patient's right.
    """
    canvas = Canvas(body, grid, z_mm)
    _draw_trunk(canvas)
    for shape in body.shapes:
        draw_shape(canvas, shape)
        if shape.name == "left lung":
            _draw_lung_detail(canvas)
    _draw_ribs(canvas)
    _draw_spine(canvas)
    axes = grid.axes()
    for lesion in lesions:
        draw_lesion(canvas.hu, axes, z_mm, lesion)
    canvas.hu += body.noise_hu * correlated_noise(canvas.hu.shape, rng)
    return canvas.hu


def correlated_noise(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Noise of unit variance, smoothed over 3x3 pixels as reconstruction does."""
    height, width = shape
    noise = rng.standard_normal((height + 2, width + 2), dtype=np.float32)
    noise = noise[:-2] + 2 * noise[1:-1] + noise[2:]
    noise = noise[:, :-2] + 2 * noise[:, 1:-1] + noise[:, 2:]
    smooth: Floats = noise / np.float32(6)  # the squares of 1 2 1 x 1 2 1 add up to 36
    return smooth


def coverage(depth_mm: Floats, edge_mm: float) -> Floats:
    """How much of a pixel lies inside, from the depth below the surface; soft over an edge."""
    return np.clip(depth_mm / np.float32(edge_mm) + np.float32(0.5), 0, 1)


def draw_shape(canvas: Canvas, shape: Shape) -> None:
    """Draw the cross-section of an organ."""
    factor = shape.section(canvas.z)
    a, b = shape.radii[0] * factor, shape.radii[1] * factor
    if min(a, b) < 0.5 or not (at := canvas.window(shape.centre[:2], max(a, b))):
        return
    dx, dy = canvas.x[at] - shape.centre[0], canvas.y[at] - shape.centre[1]
    cos, sin = np.float32(np.cos(shape.angle)), np.float32(np.sin(shape.angle))
    u, v = np.abs(dx * cos + dy * sin) / a, np.abs(dy * cos - dx * sin) / b
    rho = _norm(u, v, shape.power)
    alpha = coverage((1 - rho) * np.float32(min(a, b)), shape.edge_mm)
    if shape.inside:
        alpha *= canvas.masks[shape.inside][at]
    if shape.name.endswith(" lung"):
        lungs = canvas.masks.setdefault("lungs", np.zeros_like(canvas.hu))
        lungs[at] = np.maximum(lungs[at], alpha)
    canvas.blend(shape.hu, alpha, at)


def _norm(u: Floats, v: Floats, power: float) -> Floats:
    if power == 2:
        return np.sqrt(u * u + v * v)
    return (u ** np.float32(power) + v ** np.float32(power)) ** np.float32(1 / power)


def _draw_trunk(canvas: Canvas) -> None:
    """Skin, fat, the muscle of the wall, and the fat within; keeps the inside as a mask."""
    power = np.float32(2.4)
    (width, depth), (inner, deep) = outline(canvas.z), cage(canvas.z)
    fat = canvas.body.fat_mm
    everywhere = (slice(None), slice(None))
    x, y = np.abs(canvas.x) ** power, np.abs(canvas.y) ** power
    for thick, hu in ((0.0, 20.0), (2.0, FAT_HU), (fat, 55.0)):
        a, b = width - thick, depth - thick
        inside = 1 - x / np.float32(a**power) - y / np.float32(b**power)
        canvas.blend(hu, coverage(inside * np.float32(b / power), 1.5), everywhere)
    inner, deep = min(inner, width - fat - 8), min(deep, depth - fat - 8)
    rho = (x / np.float32(inner**power) + y / np.float32(deep**power)) ** (1 / power)
    depth_mm = (1 - rho) * np.float32(deep)
    canvas.masks["cage"], canvas.masks["depth"] = coverage(depth_mm, 1.5), depth_mm
    canvas.blend(FAT_HU, canvas.masks["cage"], everywhere)


def _draw_lung_detail(canvas: Canvas) -> None:
    """The oblique fissures as faint lines, and the vessels that cross the slice."""
    lungs = canvas.masks.get("lungs")
    if lungs is None:
        return
    line = np.exp(-((canvas.y - fissure_y(canvas.z)) ** 2) / 2)
    canvas.hu += 110 * line * lungs
    for vessel in canvas.body.vessels:
        top, end = vessel.start[2], vessel.end[2]
        along = (canvas.z - top) / (end - top) if end != top else -1
        if not 0 <= along <= 1:
            continue
        x, y = (s + along * (e - s) for s, e in zip(vessel.start[:2], vessel.end[:2], strict=True))
        radius = vessel.radius * (1.3 - along)
        if at := canvas.window((x, y), radius):
            far = np.hypot(canvas.x[at] - x, canvas.y[at] - y)
            canvas.blend(40, coverage(radius - far, 1.5) * lungs[at], at)


def _draw_ribs(canvas: Canvas) -> None:
    """Ribs run down towards the front, so that a slice cuts several of them."""
    if canvas.z > 300:
        return
    ring = coverage(5.0 - np.abs(canvas.masks["depth"] + 7), 2.0)
    where: NDArray[np.bool_] = ring > 0
    angle = np.arctan2(np.abs(canvas.x[where]), canvas.y[where])  # 0 behind, pi in front
    phase = (canvas.z - 42 * angle) / RIB_SPACING_MM
    apart = np.abs(phase - np.round(phase)) * RIB_SPACING_MM
    bone = coverage(np.float32(5.5) - apart, 2.0) * ring[where]
    bone *= angle < 2.6
    core = coverage(np.float32(3) - apart, 2.0) * (ring[where] > 0.95)
    canvas.hu[where] += bone * (430 - 200 * core - canvas.hu[where])
    if 40 < canvas.z < 210 and (at := canvas.window((0, -canvas.body.fat_mm), 140)):
        front = coverage(6 - np.abs(canvas.masks["depth"][at] + 7), 2.0)
        front *= (np.abs(canvas.x[at]) < 15) & (canvas.y[at] < 0)
        canvas.blend(260, front, at)


def _draw_spine(canvas: Canvas) -> None:
    """Vertebral bodies with cortex and discs, canal, arches, and the muscles beside them."""
    y, z = spine_y(canvas.z), canvas.z
    if z > 515:
        return
    wide = float(np.interp(z, (0, 250, 330, 500), (16, 18, 23, 25)))
    at_disc = (z / VERTEBRA_MM) % 1 > 0.8
    body = (wide, 0.78 * wide)
    back = y + body[1]
    parts = [
        (s * 33, back + 14, 27, 21, 56.0) for s in (-1, 1)
    ] + [
        (0, back + 27, 4.5, 17, 380.0),
        *((s * 15, back + 8, 17, 5.5, 360.0) for s in (-1, 1)),
        (0, y, *body, 90.0 if at_disc else 430.0),
        (0, y, body[0] - 2.5, body[1] - 2.5, 90.0 if at_disc else 195.0),
        (0, back + 8.5, 9.5, 8.5, 35.0),
    ]  # fmt: skip
    for x, middle, a, b, hu in parts:
        draw_shape(canvas, Shape(name="", centre=(x, middle, z), radii=(a, b, 1), hu=hu, power=2.2))
