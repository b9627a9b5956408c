"""The contract of what is solved: whatever wraps a function hands on all of it."""

import pytest
import torch

from qdeq import Function, InjectedFunction, Wrapper, solve
from qdeq.backends import FrozenFunction
from qdeq.dropout import MaskedState
from qdeq.errors import SolverError, UnsupportedError
from qdeq.functions import Lifted, as_function
from qdeq.jacobians import jacobian
from qdeq.solvers import Broyden, Naive
from qdeq.testing.witness import Counted, Witness
from qdeq.wrappers import GrowingShots


class Told(Function):
    """0.5 tanh(y), which keeps what it is told: evaluation and shots of each measurement."""

    settings = 3

    def __init__(self, shots=1000, number=0, seen=None):
        self.shots, self.number, self.seen = shots, number, [] if seen is None else seen

    def at_evaluation(self, number):
        return Told(self.shots, number, self.seen)

    def at_shots(self, shots):
        return Told(shots, self.number, self.seen)

    def measure(self, y, *rows):
        self.seen.append((self.number, self.shots))
        return 0.5 * torch.tanh(y) + 0.1, torch.full_like(y, self.shots**-0.5)

    def jacobian(self, y, *rows, create_graph=False):
        return torch.diag_embed(0.5 / torch.cosh(y).square())


class Inputs(FrozenFunction):
    """The same as a function of inputs."""

    def __init__(self, told):
        self.told, self.shots, self.settings = told, told.shots, told.settings

    def __call__(self, inputs):
        return self.told(inputs)

    def at_evaluation(self, number):
        return Inputs(self.told.at_evaluation(number))

    def at_shots(self, shots):
        return Inputs(self.told.at_shots(shots))

    def measure(self, inputs):
        return self.told.measure(inputs)

    def jacobian(self, inputs, *, create_graph=False):
        return self.told.jacobian(inputs)


Y, ONES, INDEX = torch.full((4, 2), 0.3).double(), torch.ones(4, 2).double(), torch.arange(4)

WRAPPED = {
    "alone": lambda told: (told, ()),
    "injected": lambda told: Inputs(told).inject(ONES, 1.0, 2),
    "InjectedFunction": lambda told: (InjectedFunction(told, torch.tensor(0.5).double()), (ONES,)),
    "masked": lambda told: (MaskedState(told), (ONES,)),
    "counted": lambda told: (Counted(told, Witness()), (INDEX,)),
    "growing": lambda told: (GrowingShots(told, 10), ()),
    "all of them": lambda told: (
        GrowingShots(Counted(MaskedState(InjectedFunction(told)), Witness()), 10),
        (INDEX, ONES, ONES),
    ),
    "in another order": lambda told: (MaskedState(GrowingShots(InjectedFunction(told), 10)), (ONES, ONES)),
}
every_wrapper = pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)


@every_wrapper
def test_evaluation_numbers_and_shots_arrive(wrap):
    told = Told()
    f, rows = wrap(told)
    f.at_evaluation(7).measure(Y, *rows)
    f.at_evaluation(8).at_shots(20).measure(Y, *rows)
    f.at_shots(30).at_evaluation(9).measure(Y, *rows)
    assert told.seen == [(7, 1000), (8, 20), (9, 30)]
    assert (f.shots, f.settings, f.has_jacobian) == (1000, 3, True)
    assert f.at_shots(20).shots == 20


@every_wrapper
@pytest.mark.parametrize("solver", [Naive(), Broyden()])
def test_a_solve_asks_for_a_new_evaluation_each_time(wrap, solver):
    told = Told()
    f, rows = wrap(told)
    found = solve(solver, f, torch.zeros_like(Y), rows)
    numbers, shots = zip(*told.seen, strict=True)
    assert numbers == tuple(range(1, len(numbers) + 1))
    assert int(found.shots[0]) == 3 * sum(shots)
    assert shots[0] == (1000 if f.first_shots is None else 10)


@every_wrapper
def test_the_jacobian_follows_the_chain_rule(wrap):
    f, rows = wrap(Told())
    found = jacobian(f, Y, rows)
    step = torch.eye(2).double() * 1e-6
    for k in range(2):
        difference = (f(Y + step[k], *rows) - f(Y - step[k], *rows)) / 2e-6
        torch.testing.assert_close(found[..., k], difference, atol=1e-9, rtol=0)


def test_options_of_a_wrapper_survive():
    grown = GrowingShots(Told(), 10, 3.0).at_evaluation(4)
    assert (grown.first_shots, grown.shots_growth, grown.inner.number) == (10, 3.0, 4)
    assert MaskedState(grown).first_shots == 10
    exact = MaskedState(torch.cos)
    assert exact.at_evaluation(5) is exact
    assert (exact.shots, exact.first_shots, exact.has_jacobian) == (None, None, False)


def test_a_wrapper_of_ones_own_needs_its_arguments_and_its_chain_rule_alone():
    class Twice(Wrapper):
        def arguments(self, y, *rows):
            return (2 * y, *rows)

        def chain(self, inner, y, *rows):
            return 2 * inner

    told = Told()
    twice = Twice(told)
    assert torch.equal(twice.at_evaluation(3)(Y), told(2 * Y))
    assert told.seen[0] == (3, 1000)
    assert torch.equal(twice.jacobian(Y), 2 * told.jacobian(2 * Y))


def test_a_plain_callable_is_lifted_once():
    lifted = as_function(torch.cos)
    assert isinstance(lifted, Lifted)
    assert as_function(lifted) is lifted
    assert (lifted.shots, lifted.has_jacobian, lifted.at_evaluation(3)) == (None, False, lifted)


def test_parts_of_the_contract_without_its_class_are_refused():
    class Duck:
        shots = 100

        def measure(self, y):
            return y, y

        def __call__(self, y):
            return y

    with pytest.raises(SolverError, match=r"f has measure, shots, which count for nothing unless Duck derives"):
        solve(Naive(), Duck(), Y)
    with pytest.raises(SolverError, match="cannot be called"):
        solve(Naive(), 3.0, Y)


def test_what_a_function_lacks_is_said():
    class Exact(Function):
        def __call__(self, y):
            return y

    with pytest.raises(UnsupportedError, match="Exact has no standard errors"):
        Exact().measure(Y)
    with pytest.raises(UnsupportedError, match="Exact has no shots, and no method at_shots that gives it 5"):
        Exact().at_shots(5)
    with pytest.raises(SolverError, match="f has none"):
        GrowingShots(Exact(), 5)
