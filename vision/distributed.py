"""Several processes that train as one: the loss of the whole batch, and the statistics of it.

The losses couple all lesions of a batch (triplets, hard examples), so an average of the processes'
own losses would be another loss. Instead each process runs the network on its part of the batch,
gathers what the others found, and computes the loss of the whole. `gather` sends gradients back
summed over the W processes; each has the same loss L, so a process's parameters see the gradient of
W L through its own part, and the mean over the processes is the gradient of L.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process among them."""
    return dist.get_rank() if world_size() > 1 else 0


class _Gather(torch.autograd.Function):
    """See `gather`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        parts = [torch.empty_like(values) for _ in range(world_size())]
        dist.all_gather(parts, values)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient.chunk(world_size())[rank()]


def gather(values: Tensor) -> Tensor:
    """The rows of all processes in their order; gradients come back summed over the processes.

    Shape: (n, ...), the same n in every process -> (W n, ...).
    """
    if world_size() == 1:
        return values
    whole: Tensor = _Gather.apply(values.contiguous())
    return whole


def share_weights(model: nn.Module) -> None:
    """Give every process the weights and buffers of the first."""
    if world_size() > 1:
        for value in model.state_dict().values():
            dist.broadcast(value, src=0)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients by their mean over the processes."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if world_size() == 1 or not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    means = torch.split(flat / world_size(), [gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view(gradient.shape))


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose statistics are those of all processes' parts of the batch.

    What `torch.nn.SyncBatchNorm` does on a GPU, for a CPU. All parts are of one size.

        mean = mean_r(mean_r),  var = mean_r(var_r) + var_r(mean_r)

    Shape: (n, channels, H, W) -> the same.
    """

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(values)
        own = torch.stack(torch.var_mean(values, dim=(0, 2, 3), correction=0))
        variances, means = gather(own.unsqueeze(0)).unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + means.var(0, correction=0)
        self._remember(mean.detach(), variance.detach(), values.numel() // values.shape[1])
        scale = (variance + self.eps).rsqrt() * self.weight
        return (values - _to_maps(mean)) * _to_maps(scale) + _to_maps(self.bias)

    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics; the running variance is the unbiased one."""
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            return
        count *= world_size()
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def _to_maps(per_channel: Tensor) -> Tensor:
    return per_channel.view(-1, 1, 1)


def share_batch_norm(model: nn.Module) -> None:
    """Let all two-dimensional batch normalisations of a model work on the whole batch."""
    if world_size() == 1:
        return
    if next(model.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GlobalBatchNorm2d
