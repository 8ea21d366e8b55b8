"""The organs of a phantom: which a body has, where, and how dense.

A patient is the standard body, scaled, bent a little, and with organs moved, resized and enhanced
a little. Sizes and CT numbers are round figures of textbook anatomy in the portal venous phase, not
measurements.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from vision.phantom.body import FAT_HU, Body, Shape, Vessel

LUNG_HU: Final = -850.0


def make_body(rng: np.random.Generator) -> Body:
    """Draw a patient."""
    size = rng.normal(1, 0.04)
    scale = (size * rng.normal(1, 0.03), size * rng.normal(1, 0.03), size * rng.normal(1, 0.02))
    bends = tuple(
        (rng.uniform(1, 5), rng.uniform(120, 240), rng.uniform(0, 6.28), rng.normal(0, 0.006))
        for _ in range(2)
    )
    shapes = tuple(_vary(shape, rng) for shape in standard_organs(rng))
    return Body(
        scale=scale, bends=bends, fat_mm=rng.uniform(9, 26), shapes=shapes,
        vessels=tuple(_lung_vessels(rng)), noise_hu=rng.uniform(8, 16),
    )  # fmt: skip


def _vary(shape: Shape, rng: np.random.Generator) -> Shape:
    """Move, resize and turn an organ by a few percent of its size."""
    a, b, c = (r * rng.normal(1, 0.05) for r in shape.radii)
    limit = min(3, 0.06 * min(shape.radii[:2]))
    x, y, z = (each + rng.normal(0, limit) for each in shape.centre)
    return replace(
        shape, centre=(x, y, z), radii=(a, b, c), angle=shape.angle + rng.normal(0, 0.04),
        hu=shape.hu + (rng.normal(0, 4) if abs(shape.hu) < 300 else rng.normal(0, 15)),
    )  # fmt: skip


def standard_organs(rng: np.random.Generator) -> list[Shape]:
    """The organs of the standard body, those that cover others later."""
    blood = rng.uniform(140, 190)
    return [*_chest(blood), *_bowel(rng), *_upper_abdomen(rng), *_pelvis(blood), *_vessels(blood)]


def _tube(
    name: str, x: float, y: float, radius: float, top: float, end: float, hu: float, **more: float
) -> Shape:
    """A vessel or hollow organ along z."""
    centre, radii = (x, y, (top + end) / 2), (radius, radius, (end - top) / 2)
    return Shape(name=name, centre=centre, radii=radii, hu=hu, taper=12, **more)  # type: ignore[arg-type]


def _chest(blood: float) -> list[Shape]:
    """Lungs, then what lies between them. The domes of the diaphragm come with the abdomen."""
    organs = [
        Shape(
            name=f"{side} lung", centre=(72 * sign, 0, 120), radii=(63, 88, 140), hu=LUNG_HU,
            power=2.3, taper=2.6, inside="cage",
        )
        for side, sign in (("right", -1), ("left", 1))
    ]  # fmt: skip
    return [
        *organs,
        Shape(
            name="mediastinum", centre=(3, 8, 90), radii=(31, 58, 150), hu=-75, power=2.4, taper=8,
        ),
        Shape(name="heart", centre=(24, -26, 178), radii=(60, 46, 52), hu=110, angle=0.45),
        _tube("ascending aorta", -12, -20, 16, 78, 150, blood),
        Shape(name="aortic arch", centre=(10, 10, 76), radii=(16, 40, 13), hu=blood, angle=-0.55),
        _tube("superior vena cava", -31, -16, 9, 35, 155, blood + 30),
        Shape(name="pulmonary trunk", centre=(14, -16, 116), radii=(17, 22, 20), hu=blood),
        Shape(name="right pulmonary artery", centre=(-20, 2, 118), radii=(34, 9, 10), hu=blood),
        Shape(name="left pulmonary artery", centre=(38, 4, 112), radii=(17, 11, 12), hu=blood),
        _tube("trachea", 0, 6, 9, -40, 104, -990),
        Shape(name="right bronchus", centre=(-20, 16, 112), radii=(24, 6, 9), hu=-980, angle=-0.1),
        Shape(name="left bronchus", centre=(20, 17, 112), radii=(24, 5.5, 9), hu=-980, angle=0.1),
        _tube("esophagus", 6, 34, 7, -40, 235, 40),
        *(
            Shape(
                name="axillary fat", centre=(143 * s, 8, 62), radii=(23, 38, 60), hu=FAT_HU,
                angle=-0.3 * s,
            )
            for s in (-1, 1)
        ),
        *(
            Shape(
                name="scapula", centre=(122 * s, 68, 70), radii=(6, 34, 80), hu=420, angle=1.0 * s,
            )
            for s in (-1, 1)
        ),
    ]  # fmt: skip


def _upper_abdomen(rng: np.random.Generator) -> list[Shape]:
    """The solid organs; CT numbers of the portal venous phase."""
    liver, kidney = rng.uniform(78, 108), rng.uniform(150, 190)
    renal = {"radii": (29.0, 31.0, 54.0), "hu": kidney}
    sinus = {"radii": (9.0, 14.0, 26.0), "hu": -60.0}
    return [
        Shape(name="left dome", centre=(70, 2, 300), radii=(64, 80, 92), hu=-85, inside="cage"),
        Shape(
            name="stomach", centre=(62, -30, 272), radii=(44, 38, 55), hu=28, inside="cage",
            angle=0.3,
        ),
        Shape(
            name="gastric gas", centre=(62, -47, 268), radii=(30, 17, 38), hu=-960, inside="cage",
            angle=0.3,
        ),
        Shape(
            name="liver", centre=(-66, -4, 288), radii=(74, 84, 92), hu=liver, power=2.4,
            inside="cage",
        ),
        Shape(
            name="left liver lobe", centre=(-2, -44, 270), radii=(52, 36, 52), hu=liver,
            inside="cage", angle=-0.2,
        ),
        Shape(name="portal vein", centre=(-42, 2, 292), radii=(32, 6, 9), hu=160, angle=-0.5),
        Shape(name="hepatic vein", centre=(-50, 6, 252), radii=(30, 5, 7), hu=150, angle=0.6),
        Shape(
            name="spleen", centre=(104, 36, 288), radii=(31, 46, 56), hu=liver + 18, angle=0.35,
            inside="cage",
        ),
        Shape(name="gallbladder", centre=(-60, -46, 338), radii=(16, 19, 26), hu=8),
        Shape(name="pancreas", centre=(14, -4, 322), radii=(58, 12, 18), hu=85, angle=-0.25),
        *(
            Shape(name="perirenal fat", centre=(37 * s, 38, 314), radii=(23, 22, 38), hu=FAT_HU)
            for s in (-1, 1)
        ),
        Shape(name="right kidney", centre=(-66, 44, 368), angle=0.35, **renal),  # type: ignore[arg-type]
        Shape(name="right renal sinus", centre=(-50, 40, 368), angle=0.35, **sinus),  # type: ignore[arg-type]
        Shape(name="left kidney", centre=(68, 44, 356), angle=-0.35, **renal),  # type: ignore[arg-type]
        Shape(name="left renal sinus", centre=(52, 40, 356), angle=-0.35, **sinus),  # type: ignore[arg-type]
        *(
            Shape(name=name, centre=(x, y, 306), radii=(r, 13, 15), hu=70, angle=turn)
            for name, x, y, r, turn in (
                ("right adrenal gland", -36, 32, 3.5, 0.5),
                ("right adrenal limb", -30, 36, 3, -0.6),
                ("left adrenal gland", 40, 28, 3.5, -0.5),
                ("left adrenal limb", 34, 32, 3, 0.6),
            )
        ),
        *(
            Shape(name="psoas", centre=(38 * s, 42, 420), radii=(19, 21, 95), hu=58, taper=3)
            for s in (-1, 1)
        ),
    ]  # fmt: skip


def _bowel(rng: np.random.Generator) -> list[Shape]:
    """Loops of small bowel, and the two sides of the colon with gas in front."""
    loops = []
    for _ in range(46):
        centre = (rng.uniform(-92, 92), rng.uniform(-66, 2), rng.uniform(345, 525))
        radii = (rng.uniform(11, 22), rng.uniform(9, 15), rng.uniform(9, 16))
        turn = rng.uniform(0, np.pi)
        loop = Shape(
            name="small bowel", centre=centre, radii=radii, hu=rng.uniform(25, 60), angle=turn,
            inside="cage",
        )  # fmt: skip
        loops.append(loop)
        if rng.random() < 0.3:
            a, b, c = (0.55 * r for r in radii)
            loops.append(replace(loop, name="bowel gas", radii=(a, b, c), hu=-900))
    for x, y in ((-104.0, 8.0), (106.0, 14.0)):
        loops.append(_tube("colon", x, y, 19, 340, 500, 30))
        loops.append(_tube("colonic gas", x, y - 6, 11, 345, 495, -930))
    return loops


def _pelvis(blood: float) -> list[Shape]:
    organs = []
    for s in (-1, 1):
        wing = Shape(
            name=f"{'left' if s > 0 else 'right'} pelvic bone", centre=(92 * s, 34, 500),
            radii=(10, 42, 74), hu=430, taper=4, angle=0.5 * s,
        )  # fmt: skip
        marrow = replace(wing, name="iliac marrow", radii=(6.5, 38, 70), hu=190)
        hip = Shape(name="acetabulum", centre=(88 * s, 6, 580), radii=(31, 31, 34), hu=380)
        head = Shape(name="femoral head", centre=(92 * s, 6, 584), radii=(22, 22, 24), hu=310)
        gluteus = Shape(
            name=f"{'left' if s > 0 else 'right'} gluteus", centre=(88 * s, 74, 530),
            radii=(52, 24, 85), hu=60, taper=4, angle=-0.25 * s,
        )  # fmt: skip
        iliacus = Shape(
            name="iliacus", centre=(76 * s, 20, 500), radii=(13, 28, 60), hu=58, angle=0.5 * s
        )
        organs += [gluteus, wing, marrow, iliacus, hip, head]
    return [
        *organs,
        Shape(name="sacrum", centre=(0, 76, 535), radii=(44, 17, 48), hu=250, taper=4),
        Shape(name="bladder wall", centre=(0, -22, 572), radii=(43, 37, 38), hu=45),
        Shape(name="urinary bladder", centre=(0, -22, 572), radii=(39, 33, 34), hu=6),
        Shape(name="rectum", centre=(0, 38, 570), radii=(19, 17, 60), hu=40, taper=6),
        *(_tube("iliac artery", 46 * s, -2, 6.5, 492, 640, blood) for s in (-1, 1)),
        *(_tube("iliac vein", 50 * s, 12, 7.5, 492, 640, blood - 30) for s in (-1, 1)),
    ]


def _vessels(blood: float) -> list[Shape]:
    """The great vessels in front of the spine."""
    return [
        _tube("descending aorta", 26, 40, 12.5, 76, 262, blood),
        _tube("abdominal aorta", 10, 18, 10.5, 258, 494, blood),
        _tube("inferior vena cava", -20, 20, 11, 190, 494, blood - 25),
    ]


def _lung_vessels(rng: np.random.Generator) -> list[Vessel]:
    """Branches that leave the hila in all directions and get thinner."""
    vessels = []
    for sign in (-1, 1):
        for _ in range(42):
            towards = rng.normal(size=3) * (24, 36, 62)
            start = (sign * 40 + towards[0] * 0.2, 6 + towards[1] * 0.2, 118 + towards[2] * 0.2)
            end = (sign * 78 + towards[0], towards[1], 120 + towards[2])
            vessels.append(Vessel(start=start, end=end, radius=rng.uniform(1.2, 3.2)))
    return vessels
