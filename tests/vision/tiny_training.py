"""A tiny network and dataset; as a script, trainings that are killed, and that run in parallel.

python tiny_training.py killed FOLDER METHOD
python tiny_training.py parallel FOLDER METHOD PORT
"""

import os
import signal
import sys
import types
from functools import partial
from pathlib import Path

import torch
from torch import nn

from vision import backbones
from vision.labels import LabelSpace
from vision.lesanet import LesaNetConfig, LesaNetModel
from vision.losses import LossConfig
from vision.methods import network_settings
from vision.training import TrainConfig, fit

SPACE = LabelSpace.from_index_lists(
    ["chest", "lung", "liver", "large", "nodule"],
    ["bodypart", "bodypart", "bodypart", "attribute", "type"],
    [[], [0], [], [], []],
    [[2], [2], [0, 1], [], []],
)


class TinyData:
    """Lesions whose labels are told by brightness, column by column."""

    space = SPACE

    def __init__(self, lesions=12, seed=0, *, fuse=None, dtype=torch.float32):
        rng = torch.Generator().manual_seed(seed)
        lungs = torch.rand(lesions, generator=rng) < 0.5
        others = torch.rand(lesions, 2, generator=rng) < 0.5
        self.relevant = torch.stack([lungs & False, lungs, ~lungs, *others.T], dim=1)
        self.uncertain = torch.zeros_like(self.relevant)
        self.irrelevant = torch.zeros_like(self.relevant)
        noise = torch.randn(lesions, 3, 12, 12, generator=rng) / 4
        signs = self.relevant[:, 1:].float().repeat_interleave(3, dim=1) - 0.5
        self.pixels = (noise + signs[:, None, None, :]).to(dtype)
        self.boxes_px = torch.tensor([0.0, 0.0, 11.0, 11.0]).repeat(lesions, 1)
        self.image_boxes_px = self.boxes_px + self.relevant[:, 3:4] * 50
        self.fuse = fuse

    def __len__(self):
        return len(self.pixels)

    def __getitems__(self, indices):
        if self.fuse is not None:
            self.fuse()
        boxes = self.pixels.new_tensor([0.0, 0.0, 11.0, 11.0]).expand(len(indices), 4)
        return {"pixel_values": self.pixels[list(indices)], "boxes_px": boxes}


def build():
    """Two stages with batch normalisation."""
    stages = [
        nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()),
        nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
    ]
    return backbones.Backbone(stages, channels=(6, 8), strides=(1, 2), lesion_maps=1)


def make_model(seed=1, **settings):
    sys.modules["tiny_backbone"] = types.SimpleNamespace(build=build)
    backbones.BACKBONES["tiny"] = "tiny_backbone"
    torch.manual_seed(seed)
    return LesaNetModel(
        LesaNetConfig.from_labels(
            SPACE, projection_size=16, embedding_size=8, **{**settings, "backbone": "tiny"}
        )
    )


def make_config(**settings):
    loss = LossConfig(draws=500, triplets_per_batch=200)
    return TrainConfig(**{"epochs": 3, "batch_size": 4, "loss": loss, **settings})


def train(
    out, *, fuse=None, resume=False, data=None, validation=None, dtype=torch.float32, **settings
):
    """Train a tiny network; return it and its history."""
    config = make_config(**settings)
    data = data or TinyData(fuse=fuse, dtype=dtype)
    lesions = int((data.relevant | data.uncertain).any(dim=1).sum())
    model = make_model(**network_settings(config, lesions)).to(dtype)
    validation = validation or TinyData(seed=1, dtype=dtype)
    history = fit(model, data, validation, config, Path(out), resume=resume)
    return model, history


def kill_at(call):
    """Something that kills this process when it is called for the n-th time."""
    calls = 0

    def fuse():
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)

    return fuse


def in_child(task):
    """Run something in a forked process; return its process id."""
    child = os.fork()
    if not child:
        try:
            task()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return child


def wait(*children):
    """How the children ended: 0, an exit code, or minus a signal."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def kill_in_fsync(fuse):
    """Call a fuse in the middle of writing: when a file is forced to disk."""
    fsync = os.fsync

    def deadly(handle):
        fuse()
        fsync(handle)

    os.fsync = deadly


def killed(folder):
    """Train without a stop, and in other folders killed at several places and then resumed."""
    settings = {"checkpoint_steps": 2, "method": sys.argv[3]}
    wait(in_child(partial(train, folder / "whole", **settings)))

    for place in ("step_4", "step_9", "writing_3", "writing_9"):
        out = folder / place
        ends = wait(in_child(partial(stop, out, *place.split("_"), settings)))
        ends += wait(in_child(partial(train, out, resume=True, **settings)))
        print(place, *ends)


def stop(out, where, call, settings):
    """Train until the process kills itself: when a step loads its batch, or in writing."""
    fuse = kill_at(int(call))
    if where == "writing":
        kill_in_fsync(fuse)
    train(out, fuse=fuse if where == "step" else None, **settings)


def parallel(folder):
    """Train in two processes."""
    os.environ |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": sys.argv[4]}

    def member(rank):
        os.environ |= {"RANK": rank, "LOCAL_RANK": rank}
        train(folder, method=sys.argv[3], **PARALLEL)

    print(*wait(*(in_child(partial(member, rank)) for rank in "01")))


# Three steps, each of all lesions; in double precision, since rounding grows from step to step.
PARALLEL = {"epochs": 3, "batch_size": 12, "dtype": torch.float64}

if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
