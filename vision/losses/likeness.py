"""Triplets of lesions by body part, location and size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from vision.data import LesionData
from vision.errors import InputError
from vision.lesanet import LesaNetOutput
from vision.losses.triplets import distances, sample_triplets
from vision.targets import Targets

NEAR: Final = 0.1  # of the picture's side
ALIKE: Final = math.log(1.3)  # sides of boxes that differ by a third
# How much farther than the levels above it a level is, in squared distances of the unit sphere.
MARGINS: Final = (0.4, 0.2, 0.1)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LesionTraits(Targets):
    """The targets of N lesions, and what is known of them without reading a report closely.

    Attributes:
        parts: The coarse body parts, those without one above them. Shape: (N, parts), bool.
        places: The middle of the lesion as a share of the picture. Shape: (N, 2).
        sizes_mm: The long and the short side of its box. Shape: (N, 2).
    """

    parts: Tensor
    places: Tensor
    sizes_mm: Tensor


def traits_of(data: LesionData, targets: Targets) -> LesionTraits:
    """What a lesion dataset holds of the traits.

    The size of a picture is not among it, so places are shares of the largest coordinate. Nor is
    there a position along the body: a slice's number means something else in each scan.

    Raises:
        InputError: If no lesion has a body part.
    """
    space = data.space
    coarse = [c == "bodypart" for c in space.classes]
    tops = torch.tensor(coarse, device=targets.positive.device) & ~space.ancestors.any(dim=1)
    parts = space.expand(targets.positive)[:, tops]
    if not parts.any():
        raise InputError(
            "No lesion has a body part among its labels, and lesions are compared by it. Choose "
            "another --method, or another dataset."
        )
    pictures, patches = data.image_boxes_px, data.boxes_px
    return LesionTraits(
        positive=targets.positive,
        known=targets.known,
        reliable=targets.reliable,
        parts=parts,
        places=(pictures[:, :2] + pictures[:, 2:]) / 2 / pictures[:, 2:].amax(dim=0),
        sizes_mm=(patches[:, 2:] - patches[:, :2]).sort(dim=1, descending=True).values,
    )


class LikenessTriplet(nn.Module):
    """The more alike two lesions are, the closer they lie.

    After the lesion embedding of Yan et al. (2018, arXiv:1711.10535, section 4), whose sequences of
    five lesions A to E ask that

        |AB|^2 < |AC|^2 < |AD|^2 < |AE|^2,   each by a margin,

    where B has A's body part, location and size, C its part and location, D its part alone, and E
    none of these. Here the pairs of a batch get these levels, 3 to 0, and triplets of an anchor a,
    a partner b of its part and a less alike c are drawn by the rule of `sample_triplets`:

        L = mean max(0, |ab|^2 - |ac|^2 + m),   m the margins between their levels added up

    `exact` takes the expected value, with memory for N^3 numbers. The thresholds `NEAR` and
    `ALIKE` and the coarse body parts, which are labels, are ours: the authors took eight classes
    that they predicted for each lesion, and a location along the body too.

    Shape:
        - output: of the network for N lesions.
        - targets: `LesionTraits` of the same.
        - returned: (), "total" and "likeness", which are the same; zero without a triplet.
    """

    margins: Tensor

    def __init__(self, *, triplets: int = 5_000, exact: bool = False) -> None:
        super().__init__()
        self.triplets = triplets
        self.exact = exact
        self.register_buffer("margins", torch.tensor([0.0, *MARGINS]).cumsum(0))

    def forward(
        self,
        output: LesaNetOutput,
        targets: LesionTraits,
        *,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        loss = self.compare(output.embeddings, likeness(targets), generator=generator)
        return {"total": loss, "likeness": loss}

    def compare(
        self, embeddings: Tensor, levels: Tensor, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """The loss. Shape: (N, D), (N, N)."""
        if len(embeddings) < 2:
            return 0 * embeddings.sum()
        squares, margins = distances(embeddings) ** 2, self.margins[levels]
        if self.exact:
            share = triplet_shares(levels)
            a, b, c = share.nonzero(as_tuple=True)
            share = share[a, b, c].to(embeddings)
        else:
            drawn = sample_triplets(levels.float(), self.triplets, generator=generator)
            a, b, c = (places[levels[drawn[0], drawn[1]] > levels[drawn[0], drawn[2]]]
                       for places in drawn)  # fmt: skip
            share = torch.ones_like(a, dtype=embeddings.dtype)
        losses = (squares[a, b] - squares[a, c] + margins[a, b] - margins[a, c]).relu()
        return (share * losses).sum() / share.sum().clamp(min=torch.finfo(share.dtype).tiny)


def likeness(traits: LesionTraits) -> Tensor:
    """How alike all pairs of lesions are.

    Returns:
        3 of one body part, location and size; 2 of one body part and location; 1 of one body part;
        0. Lesions have one body part if they share a coarse one. Shape: (N, N), int64.
    """
    parts = traits.parts.float()
    same = parts @ parts.T > 0
    near = torch.cdist(traits.places, traits.places) < NEAR
    logs = traits.sizes_mm.clamp(min=1).log()
    alike = torch.cdist(logs, logs) < ALIKE
    return same.long() + (same & near) + (same & near & alike)


@torch.no_grad()
def triplet_shares(levels: Tensor) -> Tensor:
    """How probable each triplet is that `sample_triplets` draws and that can teach.

    Args:
        levels: Shape: (N, N).

    Returns:
        At [a, b, c], of the anchor a with the more alike b and the less alike c. Shape: (N, N, N).
    """
    others = ~torch.eye(len(levels), dtype=torch.bool, device=levels.device)
    partners = (levels >= 1) & others
    less = (levels.unsqueeze(1) < levels.unsqueeze(2)) & others.unsqueeze(1)
    share = less.double() / less.sum(dim=2, keepdim=True).clamp(min=1)
    return share * (partners / partners.sum(dim=1, keepdim=True).clamp(min=1)).unsqueeze(2)
