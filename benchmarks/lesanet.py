"""What a training step of LesaNet costs, beside the authors' way of doing it.

    python benchmarks/lesanet.py [--batch-size 16] [--rounds 5] [--threads 1] [--json]

Both ways take the same lesions of a CT phantom, with made-up labels, and the same network. What
the authors' code does around it is written out here from its description: each batch decodes
three 16-bit PNGs a lesion, windows and resizes whole slices, draws 5,000 triplets in a Python
loop, counts the top five labels, clips and steps without fusing. Rounds alternate, so that a noisy
machine slows both; figures are medians of rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.lesions import ImportConfig, import_deeplesion
from pipelines.phantom import write_phantom
from vision.data import LesionDataset
from vision.lesanet import LesaNetConfig, LesaNetModel
from vision.losses import LesaNetLoss, LossConfig
from vision.losses.triplets import label_similarity
from vision.losses.weighted_bce import class_weights
from vision.phantom.cases import PhantomConfig
from vision.readers import open_image
from vision.recipe import TrainConfig, clip_gradients, make_optimizer
from vision.targets import Targets, targets_of

Seconds = dict[str, float]


class Clock:
    """Seconds of each part, over rounds."""

    def __init__(self) -> None:
        self.rounds: dict[str, list[float]] = defaultdict(list)

    def time(self, part: str, work: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        result = work()
        self.rounds[part].append(time.perf_counter() - begun)
        return result

    @property
    def medians(self) -> Seconds:
        return {part: statistics.median(seconds) for part, seconds in self.rounds.items()}


def reference_batch(folder: Path, rows: list[dict[str, Any]]) -> Tensor:
    """Decode and prepare whole slices, then cut the patches out; shape (n, 3, 120, 120)."""
    patches = []
    for row in rows:
        image = open_image(folder / row["image_file"], spacing_mm=row["spacing_mm"])
        key, interval = row["slice_index"], row["spacing_mm"][2]
        away = 2.0 / interval
        near, far = int(np.floor(away)), int(np.ceil(away))
        slices = [_slice_at(image, key, 0)]
        for side in (-1, 1):
            mixed = _slice_at(image, key, side * near)
            if far != near:
                further = _slice_at(image, key, side * far)
                mixed = (away - near) * further + (far - away) * mixed
            slices.insert(0 if side < 0 else 2, mixed)
        whole = np.clip((np.stack(slices) + 1024) / 4095, 0, 1) * 255
        scale = row["spacing_mm"][0]
        resized = F.interpolate(
            torch.from_numpy(whole)[None], scale_factor=scale, mode="bilinear", align_corners=False
        )[0]
        x, y = (round((row["box_px"][a] + row["box_px"][a + 2]) * scale / 2) for a in (0, 1))
        padded = F.pad(resized[None], (60, 60, 60, 60), mode="replicate")[0]
        patches.append(padded[:, y : y + 120, x : x + 120])
    return ((torch.stack(patches) - 50) / 255).float()


def _slice_at(image: Any, key: int, steps: int) -> np.ndarray:
    """Decode the slice some steps away, or the next existing one towards the key slice."""
    while key + steps not in image.slice_indices:
        steps -= int(np.sign(steps))
    return image.slice_hu(key + steps).numpy().astype(np.float64)


def reference_triplets(similarity: np.ndarray, count: int = 5000) -> list[tuple[int, int, int]]:
    """Draw triplets one by one."""
    places = np.arange(len(similarity))
    triplets = []
    for _ in range(count):
        anchor = np.random.choice(places)
        row, others = similarity[anchor], places[places != anchor]
        similar = others[row[others] >= 1]
        partner = np.random.choice(similar) if len(similar) else others[row[others].argmax()]
        less = others[row[others] < row[partner]]
        third = np.random.choice(less) if len(less) else others[row[others].argmin()]
        triplets.append((anchor, partner, third))
    return triplets


def reference_losses(output: Any, targets: Targets, weights: tuple[Tensor, Tensor]) -> Tensor:
    """Eq. 5, term by term, with the loop."""
    y, known = targets.positive.float(), targets.known.float()
    weight = (y * weights[0] + (1 - y) * weights[1]) * known

    def cross_entropy(scores: Tensor) -> Tensor:
        p = scores.sigmoid().clamp(1e-7, 1 - 1e-7)
        return -(y * p.log() + (1 - y) * (1 - p).log())

    p = output.scores.detach().sigmoid()
    difficulty = ((p - y).abs() * targets.reliable.float()) ** 2
    share = difficulty.flatten().double().numpy()
    drawn = np.random.choice(share.size, 10_000, p=share / share.sum())
    mined = cross_entropy(output.scores).flatten()[torch.from_numpy(drawn)].mean()
    similarity = label_similarity(targets.positive).numpy()
    a, b, c = torch.tensor(reference_triplets(similarity)).T
    e = output.embeddings
    apart = F.pairwise_distance(e[a], e[b]) - F.pairwise_distance(e[a], e[c])
    triplet = (apart + 0.1).clamp(min=0).mean()
    bce = (weight * cross_entropy(output.scores)).mean()
    return bce + mined + 5 * triplet + (weight * cross_entropy(output.refined_scores)).mean()


def top_five(scores: Tensor, positive: Tensor) -> float:
    """The training metric of the authors' log, lesion by lesion."""
    best = scores.detach().topk(5).indices.tolist()
    hits = [sum(bool(positive[i, c]) for c in row) for i, row in enumerate(best)]
    return float(np.mean(hits))


def conv_seconds(network: nn.Module, pixels: Tensor) -> float:
    """The seconds of the backbone's convolutions alone, forward and backward, one after another."""
    shapes: list[tuple[nn.Conv2d, torch.Size]] = []
    hooks = [
        layer.register_forward_pre_hook(lambda m, x: shapes.append((m, x[0].shape)))
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    network(pixels)
    for hook in hooks:
        hook.remove()
    total = 0.0
    for place, (layer, shape) in enumerate(shapes):
        x = torch.randn(shape, requires_grad=place > 0)  # the pictures need no gradient
        w = layer.weight.detach().clone().requires_grad_()
        upstream = torch.randn_like(F.conv2d(x, w, None, layer.stride, layer.padding))
        begun = time.perf_counter()
        F.conv2d(x, w, None, layer.stride, layer.padding).backward(upstream)
        total += time.perf_counter() - begun
    return total


def backbone_seconds(backbone: nn.Module, pixels: Tensor) -> float:
    """The seconds of forward and backward through the backbone."""
    begun = time.perf_counter()
    sum(m.sum() for m in backbone(pixels)).backward()
    return time.perf_counter() - begun


def made_up_labels(lesions: int, labels: int, seed: int = 0) -> Tensor:
    """Four labels a lesion, some frequent and some rare. Shape: (lesions, labels), bool."""
    rng = torch.Generator().manual_seed(seed)
    shares = torch.arange(1, labels + 1).float().pow(-0.8)
    chosen = shares.expand(lesions, -1).multinomial(4, generator=rng)
    return torch.zeros(lesions, labels, dtype=torch.bool).scatter_(1, chosen, True)


def measure(batch_size: int, rounds: int, scratch: Path) -> dict[str, Any]:
    write_phantom(PhantomConfig(lesions=4 * batch_size, size_px=512), scratch / "study", print)
    images = scratch / "study" / "Images_png"
    import_deeplesion(
        ImportConfig(
            images=images, dl_info=scratch / "study" / "DL_info.csv", out=scratch / "lesions"
        )
    )
    data = LesionDataset(scratch / "lesions", "train")
    rows = data.rows.remove_columns(["patch"]).to_list()
    positive = made_up_labels(len(data), len(data.space))
    nothing = torch.zeros_like(positive)
    targets = targets_of(positive, nothing, nothing, data.space)
    weights = class_weights(targets.positive.sum(0), len(data))
    torch.manual_seed(0)
    model: Any = LesaNetModel(LesaNetConfig.from_labels(data.space))
    model.train()
    ours, theirs = (
        make_optimizer(model, TrainConfig()),
        torch.optim.SGD(model.parameters(), 0.01, 0.9, foreach=False),
    )
    loss = LesaNetLoss(*weights, LossConfig())
    clocks = {"ours": Clock(), "reference": Clock()}
    convolutions, backbones = [], []
    for step in range(rounds + 1):
        drawn = np.random.default_rng(step).permutation(len(data))[:batch_size].tolist()
        truth = targets[drawn]
        _our_step(clocks["ours"], data, drawn, truth, model, loss, ours)
        _reference_step(
            clocks["reference"], images, [rows[i] for i in drawn], data.boxes_px[drawn], truth,
            model, weights, theirs,
        )  # fmt: skip
        pixels = data.__getitems__(drawn)["pixel_values"]
        backbones.append(backbone_seconds(model.backbone, pixels))
        convolutions.append(conv_seconds(model.backbone, pixels))
        if not step:  # a warm-up
            for clock in clocks.values():
                clock.rounds.clear()
    ratios = [c / b for c, b in zip(convolutions[1:], backbones[1:], strict=True)]
    return {
        **{name: clock.medians for name, clock in clocks.items()},
        "convolution_rate": statistics.median(ratios),
        "patches_per_second": feeding(data),
    }


def _our_step(
    clock: Clock, data: LesionDataset, drawn: list[int], truth: Targets, model: Any,
    loss: LesaNetLoss, optimizer: torch.optim.Optimizer,
) -> None:  # fmt: skip
    batch = clock.time("load", lambda: data.__getitems__(drawn))
    output = clock.time("forward", lambda: model(batch["pixel_values"], batch["boxes_px"]))
    terms = clock.time("losses", lambda: loss(output, truth, generator=torch.Generator()))
    optimizer.zero_grad()
    clock.time("backward", terms["total"].backward)
    clock.time("metric", lambda: None)
    clock.time("step", lambda: (clip_gradients(model.parameters(), 10.0), optimizer.step()))


def _reference_step(
    clock: Clock, images: Path, rows: list[dict[str, Any]], boxes: Tensor, truth: Targets,
    model: Any, weights: tuple[Tensor, Tensor], optimizer: torch.optim.Optimizer,
) -> None:  # fmt: skip
    pixels = clock.time("load", lambda: reference_batch(images, rows))
    output = clock.time("forward", lambda: model(pixels, boxes))
    total = clock.time("losses", lambda: reference_losses(output, truth, weights))
    optimizer.zero_grad()
    clock.time("backward", total.backward)
    clock.time("metric", lambda: top_five(output.refined_scores, truth.positive))
    clip = torch.nn.utils.clip_grad_norm_
    clock.time("step", lambda: (clip(model.parameters(), 10.0, foreach=False), optimizer.step()))


def feeding(data: LesionDataset, batch_size: int = 128, rounds: int = 20) -> float:
    """Patches a second in shuffled batches, ready for the network."""
    rng = np.random.default_rng(0)

    def batch() -> float:
        drawn = rng.integers(0, len(data), batch_size).tolist()
        begun = time.perf_counter()
        data.__getitems__(drawn)
        return time.perf_counter() - begun

    return batch_size / statistics.median(batch() for _ in range(rounds))


def lines(found: dict[str, Any]) -> Iterator[str]:
    ours, theirs = found["ours"], found["reference"]
    yield f"{'median ms of a step':24}{'reference':>11}{'ours':>11}{'ratio':>9}"
    for part in theirs:
        ratio = theirs[part] / ours[part] if part != "metric" else float("nan")
        yield f"{part:24}{1000 * theirs[part]:11.1f}{1000 * ours[part]:11.1f}{ratio:9.2f}"
    for name, parts in {
        "network": ("forward", "backward"),
        "around it": ("load", "losses", "metric", "step"),
        "all": tuple(theirs),
    }.items():
        before, now = (sum(c[p] for p in parts) for c in (theirs, ours))
        yield f"{name:24}{1000 * before:11.1f}{1000 * now:11.1f}{before / now:9.2f}"
    yield f"backbone's share of the rate of its bare convolutions: {found['convolution_rate']:.2f}"
    yield f"patches fed on one thread: {found['patches_per_second']:,.0f} a second"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(options.batch_size, options.rounds, Path(scratch))
    if options.as_json:
        print(json.dumps(found))
        return
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {options.threads} used, "
        f"PyTorch {torch.__version__}, batch {options.batch_size}"
    )
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
