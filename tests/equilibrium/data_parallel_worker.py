"""What each process of a data-parallel run does; a module of its own, because the processes are spawned."""

import os
import sys

import torch
from functions import KINDS, TIGHT, classifier, numbers
from safetensors.torch import load_file, save_file
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from qdeq.equilibrium import Equilibrium

LABELS = torch.tensor([0, 2, 1, 1, 0, 2])


def global_batch():
    return 0.5 * numbers(104, 6, 16)


def _loss(logits, labels):
    return torch.nn.functional.cross_entropy(logits, labels)


def _train(call, model, x, labels):
    """Take one step, then return the gradients of the next: wrong gradients or weights would show in both."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        _loss(call(x).logits, labels).backward()
        if step == 0:
            optimizer.step()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def gradients(kind, x):
    """Return them for one process with the whole batch."""
    model = classifier("amplitude", seed=4, equilibrium=Equilibrium(TIGHT, adjoint=KINDS[kind]))
    return _train(model, model, x, LABELS)


def _worker(rank, kinds, folder):
    torch.set_num_threads(1)
    if sys.platform == "linux":
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # gloo would look up the host's name, which may take long to fail
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    half = slice(3 * rank, 3 * rank + 3)
    found = {}
    for kind in kinds:
        model = classifier("amplitude", seed=4, equilibrium=Equilibrium(TIGHT, adjoint=KINDS[kind]))
        gradients_here = _train(DistributedDataParallel(model), model, global_batch()[half], LABELS[half])
        found |= {f"{kind}/{name}": gradient for name, gradient in gradients_here.items()}
    if rank == 0:
        save_file(found, f"{folder}/gradients.safetensors")
    distributed.destroy_process_group()


def train_in_two(kinds, folder):
    """Return the gradients that both processes have agreed on, by ``kind/name``."""
    torch.multiprocessing.spawn(_worker, (kinds, str(folder)), nprocs=2)
    return load_file(folder / "gradients.safetensors")
