"""The seed tree: streams are named, never continued."""

import torch

from qdeq.seeds import derive_seed, torch_generator


def test_a_path_names_one_seed_on_every_machine():
    # written down once: another number here would silently change every published run
    assert derive_seed(1111, "weights") == 8801012001027374600


def test_different_paths_have_different_seeds():
    paths = [(seed, name, step) for seed in range(5) for name in ("dropout", "shots", "sampler") for step in range(20)]
    assert len({derive_seed(*path) for path in paths}) == len(paths)
    assert derive_seed(1, "a") != derive_seed(1)
    assert derive_seed(11, "a") != derive_seed(1, "1a")
    assert derive_seed(1, 2, 3) != derive_seed(1, 23)


def test_seeds_fit_every_generator():
    seeds = [derive_seed(0, "x", step) for step in range(1000)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62  # and use the room they have


def test_a_generator_stands_at_the_start_of_its_stream_whatever_was_drawn_before():
    first = torch.rand(5, generator=torch_generator(3, "dropout", 4))
    torch.rand(100, generator=torch_generator(3, "dropout", 3))
    torch.manual_seed(99)
    assert torch.equal(torch.rand(5, generator=torch_generator(3, "dropout", 4)), first)
    assert not torch.equal(torch.rand(5, generator=torch_generator(3, "dropout", 5)), first)


def test_making_a_generator_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    torch_generator(3, "weights")
    assert torch.equal(torch.get_rng_state(), before)
