"""What the score propagation layer has learned of how labels relate (LesaNet, fig. 6).

The layer adds to the score of each label the scores of others, times a weight (Yan et al. 2019,
arXiv:1904.04661, section 3.3). It starts as the identity. One expects a label to pass weight on to
what lies above it, and to take some from what it excludes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from vision.labels import LabelSpace

if TYPE_CHECKING:
    import pandas as pd

RELATIONS: Final = ("ancestor", "descendant", "exclusive", "other")
EXPECTED: Final = {"ancestor": 1, "exclusive": -1}  # signs
STRONGEST: Final = 30


def propagation_weights(model: Any) -> Tensor | None:
    """The weight from label j to label i, at [i, j]; None for a network without the layer.

    Shape: (C, C), float32, on the CPU.
    """
    layer = getattr(model, "propagation", None)
    return layer.weight.detach().float().cpu() if isinstance(layer, nn.Linear) else None


def propagation_pairs(weights: Tensor, space: LabelSpace) -> pd.DataFrame:
    """All pairs of two labels, the strongest positive weight first.

    Args:
        weights: From label j to label i, at [i, j]. Shape: (C, C).
        space: The C labels.

    Returns:
        One row for each pair: `source` (j) and `target` (i), names; `weight`; `relation`, what the
        target is to the source by the ontology, one of `RELATIONS`; `agrees`: True where the weight
        has the sign that one expects (an ancestor positive, an exclusive label negative), False
        where it has not, None for other pairs.

    Example:
        >>> space = LabelSpace.from_index_lists(
        ...     ["lung", "left lung"], ["bodypart"] * 2, [[], [0]], [[], []]
        ... )
        >>> pairs = propagation_pairs(torch.tensor([[1.0, 0.3], [-0.1, 1.0]]), space)
        >>> pairs[["source", "target", "relation", "agrees"]].values.tolist()
        [['left lung', 'lung', 'ancestor', True], ['lung', 'left lung', 'descendant', None]]
    """
    import pandas as pd

    size = len(space)
    target, source = (~torch.eye(size, dtype=torch.bool)).nonzero().unbind(1)
    kinds = _relations(space)[target, source].tolist()
    values = weights[target, source].tolist()
    pairs = pd.DataFrame(
        {
            "source": [space.names[i] for i in source.tolist()],
            "target": [space.names[i] for i in target.tolist()],
            "weight": values,
            "relation": [RELATIONS[kind] for kind in kinds],
        }
    )
    signs = [EXPECTED.get(relation) for relation in pairs["relation"]]
    pairs["agrees"] = pd.Series(
        [None if s is None else s * w > 0 for s, w in zip(signs, values, strict=True)], dtype=object
    )
    return pairs.sort_values("weight", ascending=False, kind="stable", ignore_index=True)


def strongest(pairs: pd.DataFrame, *, count: int = STRONGEST) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The pairs with the most positive and with the most negative weights, strongest first."""
    negative = pairs.iloc[::-1]
    return (
        pairs[pairs["weight"] > 0].head(count).reset_index(drop=True),
        negative[negative["weight"] < 0].head(count).reset_index(drop=True),
    )


def agreement(pairs: pd.DataFrame, *, count: int = STRONGEST) -> dict[str, Any]:
    """How far the weights agree with the ontology.

    Returns:
        - by_relation: `pairs`, `mean` weight, and the shares `positive` and `negative`, for each
          of `RELATIONS` that there is a pair of.
        - strongest_positive, strongest_negative: of the `count` strongest, how many are of each
          relation.
    """
    by_relation = {
        relation: {
            "pairs": len(rows),
            "mean": float(rows["weight"].mean()),
            "positive": float((rows["weight"] > 0).mean()),
            "negative": float((rows["weight"] < 0).mean()),
        }
        for relation, rows in ((r, pairs[pairs["relation"] == r]) for r in RELATIONS)
        if len(rows)
    }
    counts = [
        {r: int((rows["relation"] == r).sum()) for r in RELATIONS}
        for rows in strongest(pairs, count=count)
    ]
    return {
        "by_relation": by_relation,
        "strongest_positive": counts[0],
        "strongest_negative": counts[1],
    }


def _relations(space: LabelSpace) -> Tensor:
    """What label i is to label j, at [i, j], as an index into `RELATIONS`."""
    kinds = torch.full((len(space), len(space)), RELATIONS.index("other"))
    kinds[space.exclusives] = RELATIONS.index("exclusive")
    kinds[space.ancestors] = RELATIONS.index("descendant")  # at [c, a]: c lies below a
    kinds[space.ancestors.T] = RELATIONS.index("ancestor")
    return kinds
