"""What fails where y is on another device is found without one, and what does not is let through."""

import numpy as np
import pytest
import torch

from qdeq.testing.host_watch import HostWatch, on_host

Y = torch.arange(6.0).reshape(2, 3)

RIGHT = {
    "made on y's device": lambda: Y @ torch.eye(3, device=Y.device),
    "made like y": lambda: Y + torch.zeros_like(Y) + Y.new_ones(2, 3),
    "moved to y": lambda: Y @ torch.eye(3).to(Y),
    "moved to y's device": lambda: Y @ torch.eye(3).to(device=Y.device),
    "moved to a device by position": lambda: Y @ torch.eye(3).to(Y.device),
    "a number": lambda: Y * torch.tensor(0.5),
    "an index": lambda: Y[torch.arange(2)],
    "a value written by index": lambda: Y.clone().index_fill_(0, torch.arange(1, device=Y.device), 0.0),
    "read through cpu()": lambda: Y + torch.as_tensor(Y.cpu().numpy() * 2, device=Y.device),
    "a sum made a vector again": lambda: Y.sum().reshape(1) + Y,
}
WRONG = {
    "made without a device": lambda: Y @ torch.eye(3),
    "made on a device in text": lambda: Y @ torch.eye(3, device="cpu"),
    "another type, not another place": lambda: Y @ torch.eye(3).to(torch.float32),
    "a view of it": lambda: torch.ones(3).expand(2, 3) * Y,
    "put beside y": lambda: torch.cat([Y, torch.zeros(2, 3)]),
    "read by NumPy": lambda: Y.numpy(),
    "read by NumPy's functions": lambda: np.linalg.norm(Y),
    "brought back by halves": lambda: torch.as_tensor(Y.cpu().numpy()) + Y,
    "moved to the host in text": lambda: Y.to("cpu") + Y,
}


@pytest.mark.parametrize("call", RIGHT.values(), ids=RIGHT)
def test_what_works_anywhere_is_let_through(call):
    found = []
    with HostWatch(found):
        result = call()
    assert found == []
    assert not on_host(result)


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_what_fails_elsewhere_is_found(call):
    found = []
    with HostWatch(found):
        call()
    assert len(found) >= 1


def test_a_tensor_that_stays_on_the_host_is_known_by_it():
    with HostWatch([]):
        made, moved = torch.ones(3), torch.ones(3).to(Y.device)
    assert on_host(made)
    assert not on_host(moved)
    assert not on_host(Y)
