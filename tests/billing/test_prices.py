"""Prices and budgets, against AWS's public page of 2025 as the numbers stand there."""

import pytest

from qdeq.billing.account import current_account, spending
from qdeq.billing.amounts import Amount, Bounds
from qdeq.billing.bills import Bill
from qdeq.billing.budget import Budget
from qdeq.billing.entries import Limits
from qdeq.billing.estimate import Estimate
from qdeq.billing.execution import Execution
from qdeq.billing.ledger import Ledger
from qdeq.billing.prices import NANO, ListedPrice, Price, dollars, price_of
from qdeq.errors import BudgetError, SpecError
from qdeq.spec import parse_spec

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
FORTE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
EMERALD = "arn:aws:braket:eu-north-1::device/qpu/iqm/Emerald"


@pytest.mark.parametrize(
    ("device", "shots", "seconds", "usd"),
    [
        (SV1, 0, None, "0.00375"),  # 3 s at $0.075 a minute
        (SV1, 0, 0.004, "0.00375"),
        (SV1, 1000, 4.2, "0.00525"),  # shots cost nothing there
        (FORTE, 100, None, "8.3"),
        (GARNET, 1000, None, "1.75"),
        (GARNET, 1, None, "0.30145"),
    ],
)
def test_a_task_costs_what_the_page_says(device, shots, seconds, usd):
    amount = price_of(device, "backend", {}).cost(shots, seconds)
    assert amount == round(float(usd) * NANO)


def test_sums_of_prices_are_exact():
    # 272 x 0.00375 in binary fractions is more than 1.02
    assert 272 * price_of(SV1, "braket-sv1", {}).cost(0, None) == Budget(max_usd=1.02).limits.cost == 1_020_000_000


def test_less_than_a_nano_dollar_is_counted_as_one():
    assert [Price(per_shot=1e-10).cost(shots, None) for shots in (0, 1, 10, 11)] == [0, 1, 1, 2]


def test_time_is_bounded_by_twice_the_minimum_and_doubles_beyond_small_registers():
    price = price_of(SV1, "braket-sv1", {})
    assert [price.longest(qubits) for qubits in (2, 18, 19, 21)] == [6.0, 6.0, 12.0, 48.0]
    assert price.bounds(0, 4) == (3_750_000, 7_500_000)
    known = price.model_copy(update={"longest_seconds": 3.5})
    assert known.bounds(0, 30) == (3_750_000, 4_375_000)


def test_a_device_without_a_known_price_needs_one_from_the_user():
    with pytest.raises(BudgetError, match=r"budget\.prices") as caught:
        price_of(EMERALD, "braket", {})
    assert EMERALD in str(caught.value)
    own = Price(per_task=0.3, per_shot=0.0016)
    assert price_of(EMERALD, "braket", {EMERALD: own}) == own
    assert price_of(SV1, "braket-sv1", {"braket-sv1": own}) == own
    with pytest.raises(ValueError, match="minimum_seconds"):
        Price(per_minute=1.0)


def test_money_is_shown_with_the_digits_that_it_has():
    assert [dollars(amount) for amount in (0, 1_020_000_000, 3_750_000, 1_234_567_890_000)] == [
        "$0.00",
        "$1.02",
        "$0.00375",
        "$1,234.57",
    ]


def test_a_budget_is_part_of_the_spec_but_not_of_the_experiment():
    plain = parse_spec({}, "x")
    paid = parse_spec({"budget": {"max_usd": 2, "max_tasks": 5, "max_shots": 7}}, "x")
    assert plain.content_hash == paid.content_hash
    assert paid.budget.limits == Limits(2 * NANO, 5, 7)
    assert parse_spec(paid.model_dump(mode="json"), "x") == paid


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({}, "budget.max_usd"),
        ({"max_usd": 0}, "budget.max_usd"),
        ({"max_usd": float("inf")}, "budget.max_usd"),
        ({"max_usd": float("nan")}, "budget.max_usd"),
        ({"max_usd": 1e12}, "budget.max_usd"),  # more nano-dollars than the ledger's file counts
        ({"max_usd": 1, "max_tasks": 0}, "budget.max_tasks"),
        ({"max_usd": 1, "max_shots": 1.5}, "budget.max_shots"),
        ({"max_usd": 1, "max_task": 3}, "unknown key.*max_tasks"),
        ({"max_usd": 1, "on_interrupt": "stop"}, "on_interrupt"),
        ({"max_usd": 1, "prices": {"x": {"per_tusk": 1}}}, "per_tusk"),
        ({"max_usd": 1, "prices": {"x": {}}}, "gives no price; .*per_task: 0"),
        ({"max_usd": 1, "prices": {"x": {"per_task": -0.3}}}, "per_task"),
        ({"max_usd": 1, "prices": {"x": {"per_shot": float("nan")}}}, "per_shot"),
        ({"max_usd": 1, "prices": {"x": {"per_shot": float("inf")}}}, "per_shot"),
        ({"max_usd": 1, "prices": {"x": {"per_minute": 1, "minimum_seconds": -3}}}, "minimum_seconds"),
        ({"max_usd": 1, "prices": {"x": {"per_minute": 1, "longest_seconds": 0}}}, "longest_seconds"),
    ],
)
def test_a_bad_budget_is_named(budget, message):
    with pytest.raises(SpecError, match=message):
        parse_spec({"budget": budget}, "file.yaml")


def test_without_a_budget_there_is_no_account_and_nested_ones_end_with_their_block(tmp_path):
    with pytest.raises(BudgetError, match="costs money, and no budget was given\n`qdeq train`"):
        current_account("braket-sv1")
    with spending(Budget(max_usd=1), tmp_path / "a.sqlite") as first:
        with spending(Budget(max_usd=1, ledger=str(tmp_path / "b.sqlite"))) as second:
            assert current_account("braket-sv1") is second
            assert second.ledger.path == tmp_path / "b.sqlite"
        assert current_account("braket-sv1") is first
        assert first.standing() == "$0.00 of $1.00, 0 tasks, 0 shots"
    with pytest.raises(BudgetError):
        current_account("braket-sv1")


def test_a_price_of_nothing_is_given_as_such_and_a_huge_one_fits_no_budget(tmp_path):
    free, huge = Price(per_task=0), Price(per_shot=1e9)
    assert price_of(EMERALD, "b", {EMERALD: free}).cost(1000, None) == 0
    assert Price(**free.model_dump()) == free  # as a resolved spec has it
    book = Ledger(tmp_path / "ledger.sqlite")
    wanted = Execution(backend="b", device=EMERALD, program="", qubits=1, wants="counts", shots=10, key="k")
    assert book.reserve([(wanted, huge.cost(10, None))], Budget(max_usd=1e9).limits, "s3://b/p") == ([], "max_usd")
    book.close()


@pytest.mark.parametrize(("usd", "short"), [(1, False), (2, True), (4.99, True), (5, False)])
def test_a_budget_between_the_bounds_is_told_of(usd, short):
    bounds = Bounds(Amount(tasks=3, low=2 * NANO, high=2 * NANO), Amount(tasks=3, low=2 * NANO, high=5 * NANO))
    said = Estimate("b", bill=Bill(bounds, bounds, bounds)).shortage(Limits(int(usd * NANO)))
    assert (said is not None and "may stop before its end" in said) is short


def test_the_higher_of_two_prices_is_counted_on_and_a_difference_is_told():
    simulator, qpu = price_of(SV1, "braket-sv1", {}), price_of(GARNET, "braket", {})
    assert ListedPrice(0.075, "minute").compare(simulator, chosen=False) == (simulator, None)
    assert ListedPrice(4.5, "hour").compare(simulator, chosen=False) == (simulator, None)
    assert ListedPrice(0.00145, "shot").compare(qpu, chosen=False) == (qpu, None)
    raised, said = ListedPrice(9.0, "hour").compare(simulator, chosen=False)
    assert raised.cost(0, None) == 2 * simulator.cost(0, None)
    assert said == "it lists $9 per hour, and the table of 2025 has $4.5: the higher one is counted on"
    raised, said = ListedPrice(0.002, "shot").compare(qpu, chosen=False)
    assert raised.cost(1000, None) == 2_300_000_000
    lower, said = ListedPrice(0.001, "shot").compare(qpu, chosen=False)
    assert lower == qpu
    assert "it lists $0.001 per shot, and the table of 2025 has $0.00145: the higher" in said
    raised, said = ListedPrice(0.5, "task").compare(qpu, chosen=False)
    assert raised.cost(0, None) == 500_000_000


def test_the_user_s_own_price_stands_and_a_difference_is_told():
    own = Price(per_task=0.3, per_shot=0.0001)
    price, said = ListedPrice(0.00145, "shot").compare(own, chosen=True)
    assert price == own
    assert said == "it lists $0.00145 per shot, and budget.prices has $0.0001, which is counted on, as you say"


@pytest.mark.parametrize("listed", [ListedPrice(3.0, "fortnight"), ListedPrice(float("nan"), "shot")])
def test_a_price_that_cannot_be_compared_is_told(listed):
    qpu = price_of(GARNET, "braket", {})
    price, said = listed.compare(qpu, chosen=False)
    assert price == qpu
    assert "cannot be compared with the table of 2025" in said


def test_time_that_is_billed_without_a_bound_is_refused():
    qpu = price_of(GARNET, "braket", {})
    with pytest.raises(BudgetError, match=r"lists \$3 per minute, .* no price of time, .*\nLook it up"):
        ListedPrice(3.0, "minute").compare(qpu, chosen=False)
