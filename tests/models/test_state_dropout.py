"""Dropout of the fed-back state: one mask a solve and sample; and three random streams that leave each other alone."""

import pytest
import torch
from tolerances import EXACT64, FALSE_ALARM_Z, FD_GRADIENT, FD_STEP, SOLVED

from qdeq.backends import ShotKey, get_backend
from qdeq.dropout import MaskedState, keep_mask
from qdeq.equilibrium import Equilibrium
from qdeq.jacobians import jacobian
from qdeq.library import amplitude_encoder, paper_ansatz
from qdeq.models import QDEQClassifier, QuantumFunction
from qdeq.solvers import Broyden

CIRCUIT = amplitude_encoder(4) + paper_ansatz(4)
P = 0.3
X = torch.randn(6, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def network(*, backend="torch", equilibrium=None, **options):
    options = {"dropout": 0.0, "state_dropout": P, **options}
    return QDEQClassifier(
        QuantumFunction(CIRCUIT, backend=get_backend(backend)),
        3,
        equilibrium=equilibrium or Equilibrium(Broyden(rtol=0, atol=SOLVED, max_steps=200)),
        generator=torch.Generator().manual_seed(4),
        **options,
    ).double()


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def masked_by_hand(model, mask):
    plain = QuantumFunction(CIRCUIT, backend=get_backend({"name": "torch", "execution": "circuits"}))
    return lambda y, x=X: plain(x + (mask * y).repeat_interleave(4, dim=1), model.weights.detach())


@pytest.mark.parametrize("execution", ["compiled", "circuits"])
def test_the_mask_is_the_same_at_every_evaluation_of_a_solve(execution):
    model = network(backend={"name": "torch", "execution": execution})
    found = model(X, generator=seeded(0))
    mask = found.rows[0]
    by_hand = masked_by_hand(model, mask)
    for y in (torch.zeros(6, 4).double(), torch.linspace(-1, 1, 24).double().reshape(6, 4)):  # any two iterates
        torch.testing.assert_close(found.function(y, *found.rows), by_hand(y), atol=100 * EXACT64, rtol=0)
    star = found.equilibrium.value.detach()
    torch.testing.assert_close(by_hand(star), star, atol=100 * EXACT64, rtol=0)
    unmasked = masked_by_hand(model, torch.ones_like(mask))
    assert float((unmasked(star) - star).norm(dim=1).max()) > 0.01  # the mask matters


def test_the_jacobian_obeys_the_chain_rule_through_the_mask():
    model = network()
    found = model(X, generator=seeded(0))
    by_hand = masked_by_hand(model, found.rows[0])
    wanted = jacobian(lambda y, x: by_hand(y, x), found.equilibrium.value.detach(), (X,))
    torch.testing.assert_close(found.jacobian(), wanted, atol=100 * EXACT64, rtol=0)
    dropped = found.rows[0] == 0
    assert dropped.any()
    assert (found.jacobian().abs().amax(dim=1)[dropped] == 0).all()  # a dropped entry has no influence


def test_forward_adjoint_and_read_out_make_one_gradient():
    """Finite differences through the masked solve, the mask drawn anew from the same seed each time."""
    model = network(dropout=0.2)

    def loss():
        return model(X, generator=seeded(3)).logits.square().sum()

    loss().backward()
    gradient = model.weights.grad
    with torch.no_grad():
        for index in (0, 17, 38):
            kept = model.weights[index].clone()
            model.weights[index] = kept + FD_STEP
            above = float(loss())
            model.weights[index] = kept - FD_STEP
            below = float(loss())
            model.weights[index] = kept
            difference = (above - below) / (2 * FD_STEP)
            assert float(gradient[index]) == pytest.approx(difference, rel=FD_GRADIENT, abs=FD_GRADIENT)


def test_the_jacobian_penalty_has_the_mask_of_the_solve():
    layer = Equilibrium(Broyden(rtol=0, atol=SOLVED, max_steps=200), jacobian_weight=1.0)
    found = network(equilibrium=layer)(X, generator=seeded(0))
    wanted = found.jacobian().square().sum(dim=(1, 2)).mean() / 4
    torch.testing.assert_close(found.equilibrium.penalty.detach(), wanted, atol=100 * EXACT64, rtol=0)
    unmasked = network(equilibrium=layer, state_dropout=0.0)(X, generator=seeded(0)).equilibrium.penalty.detach()
    assert abs(float(unmasked - wanted)) > 1e-3


def test_direct_layers_share_one_mask():
    model = network(layers=3)
    found = model(X, generator=seeded(0))
    by_hand = masked_by_hand(model, found.rows[0])
    wanted = by_hand(by_hand(by_hand(torch.zeros(6, 4).double())))
    torch.testing.assert_close(found.equilibrium.value.detach(), wanted, atol=100 * EXACT64, rtol=0)


def test_samples_and_calls_have_masks_of_their_own():
    many = X[:1].expand(200, -1)
    model, generator = network(), seeded(0)
    with torch.no_grad():
        first, second = (model(many, generator=generator).rows[0] for _ in range(2))
        again = model(many, generator=seeded(0)).rows[0]
    assert len(first.unique(dim=0)) == 16  # all masks of four entries
    assert not torch.equal(first, second)
    assert torch.equal(first, again)


def test_the_mask_drops_with_its_probability_and_keeps_the_mean():
    mask = keep_mask(torch.zeros(20_000, dtype=torch.float64), P, seeded(0))
    assert set(mask.tolist()) == {0.0, 1 / (1 - P)}
    z = (mask.mean() - 1) / (mask.std() / len(mask) ** 0.5)
    assert abs(float(z)) < FALSE_ALARM_Z


def test_evaluation_has_no_mask():
    masked, plain = network().eval(), network(state_dropout=0.0).eval()
    assert torch.equal(masked(X).logits, plain(X).logits)
    assert len(masked(X).rows) == len(plain(X).rows)


def test_a_mask_over_a_measured_function_passes_its_shots_on():
    circuits = get_backend({"name": "torch", "execution": "circuits"})
    model, key = network(backend=circuits), ShotKey(seed=5)
    f, rows = model.function.at(model.weights, shots=100, key=key).inject(X, 1.0, 4)
    mask = keep_mask(torch.ones(6, 4).double(), P, seeded(0))
    masked, y = MaskedState(f), torch.full((6, 4), 0.3).double()
    assert (masked.shots, masked.settings) == (100, f.settings) == (100, 1)
    for change in (lambda g: g.at_evaluation(3), lambda g: g.at_shots(7), lambda g: g.at_shots(7).at_evaluation(2)):
        assert torch.equal(change(masked)(y, mask, *rows), change(f)(mask * y, *rows))
        for ours, theirs in zip(
            change(masked).measure(y, mask, *rows), change(f).measure(mask * y, *rows), strict=True
        ):
            assert torch.equal(ours, theirs)
    assert not torch.equal(masked.at_evaluation(3)(y, mask, *rows), masked.at_evaluation(4)(y, mask, *rows))


def test_a_mask_over_an_exact_function_has_no_shots_to_pass_on():
    masked, one = MaskedState(torch.sin), torch.ones(1, 2)
    assert masked.shots is None
    assert masked.at_evaluation(5)(one, 0 * one).tolist() == [[0, 0]]


# -- streams ----------------------------------------------------------------------------------------------------------


def drawn(*, dropout=0.0, state_dropout=0.0, hutchinson=False, layers=None):
    layer = Equilibrium(
        Broyden(rtol=1e-4), jacobian_weight=1.0, jacobian_estimate="hutchinson" if hutchinson else "exact"
    )
    model = network(equilibrium=layer, dropout=dropout, state_dropout=state_dropout, layers=layers)
    generator = seeded(11)
    return model(X, generator=generator), generator.get_state()


def test_the_read_outs_mask_does_not_depend_on_the_other_uses():
    # one direct layer from 0: the state's mask multiplies zeros, so logits show the read-out's mask alone
    plain, masked = (drawn(dropout=0.4, state_dropout=p, layers=1)[0].logits for p in (0.0, 0.5))
    assert torch.equal(plain, masked)
    exact, estimated = (drawn(dropout=0.4, hutchinson=h)[0].logits for h in (False, True))
    assert torch.equal(exact, estimated)


def test_the_states_mask_does_not_depend_on_the_other_uses():
    masks = [drawn(state_dropout=0.5, dropout=p, hutchinson=h)[0].rows[0] for p in (0.0, 0.4) for h in (False, True)]
    assert all(torch.equal(mask, masks[0]) for mask in masks)


def test_the_jacobians_vector_does_not_depend_on_the_other_uses():
    penalties = [drawn(hutchinson=True, dropout=p)[0].equilibrium.penalty for p in (0.0, 0.4)]
    assert torch.equal(*penalties)
    # the state's mask changes the equilibrium, and with it the penalty: p = 1e-9 draws a mask that keeps everything
    masked = drawn(hutchinson=True, state_dropout=1e-9)[0].equilibrium.penalty
    torch.testing.assert_close(masked, penalties[0], rtol=1e-6, atol=0)


def test_the_three_uses_draw_different_numbers(monkeypatch):
    """One stream for two of them would drop the same entries of state and read-out."""
    drawn_first = {}

    def record(name, real):
        def wrapper(like, *args, **options):
            generator = options.get("generator") or args[-1]
            drawn_first.setdefault(f"{name} {tuple(like.shape)}", torch.rand(4, generator=generator))
            return real(like, *args, **options)

        return wrapper

    def probe(shape, generator, **options):
        drawn_first["probe"] = torch.rand(4, generator=generator)
        return torch.ones(shape, **options)

    monkeypatch.setattr("qdeq.models.keep_mask", record("mask", keep_mask))
    monkeypatch.setattr("torch.randn", probe)
    drawn(dropout=0.5, state_dropout=0.5, hutchinson=True)
    assert len(drawn_first) == 3
    values = torch.stack(list(drawn_first.values()))
    assert len(values.unique()) == values.numel()


def test_a_call_draws_the_same_from_the_generator_whatever_is_on():
    states = [drawn(dropout=p, state_dropout=p, hutchinson=h)[1] for p in (0.0, 0.4) for h in (False, True)]
    assert all(torch.equal(state, states[0]) for state in states)
    model, generator = network().eval(), seeded(11)
    before = generator.get_state()
    model(X, generator=generator)
    assert torch.equal(generator.get_state(), before)  # evaluation draws nothing
