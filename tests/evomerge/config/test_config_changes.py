import pytest

from evomerge.config import CampaignConfig
from evomerge.config.changes import Change, as_diff, past_changing

OLD = {
    "name": "one",
    "base": "hub/base",
    "parents": ["hub/a", "hub/b"],
    "objectives": [{"name": "maths", "tasks": ["gsm8k"]}],
    "optimiser": {"kind": "cma_es"},
}


def changes(**new: object) -> list[Change]:
    return past_changing(CampaignConfig.model_validate(OLD), CampaignConfig.model_validate({**OLD, **new}))


@pytest.mark.parametrize(
    "new",
    [
        {},
        {"name": "two"},
        {"budget": {"evaluations": 9999, "hours": 3}},
        {"workers": {"backend": "ray", "count": 8, "gpus": 0.5, "deadline_seconds": 9}},
    ],
)
def test_budget_workers_and_name_do_not_change_the_past(new: dict[str, object]) -> None:
    assert changes(**new) == []


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ({"seed": 1}, Change("seed", 0, 1)),
        ({"export": {"dtype": "float32"}}, Change("export.dtype", "bfloat16", "float32")),
        ({"space": {"genes": {"weight": (0.0, 2.0)}}}, Change("space.genes.weight", (0.0, 1.5), (0.0, 2.0))),
        ({"optimiser": {"kind": "cma_es", "tolx": 0.1}}, Change("optimiser.tolx", None, 0.1)),
        ({"base": {"model": "hub/base", "revision": "v2"}}, Change("base.revision", None, "v2")),
        ({"splits": {"test": 0.2}}, Change("splits.test", 0.3, 0.2)),
        (
            {"objectives": [{"name": "maths", "tasks": ["gsm8k", "asdiv"]}]},
            Change("objectives[0].tasks", ("gsm8k",), ("gsm8k", "asdiv")),
        ),
    ],
)
def test_everything_else_changes_the_past(new: dict[str, object], expected: Change) -> None:
    assert changes(**new) == [expected]


def test_one_more_parent_is_one_change() -> None:
    (change,) = changes(parents=["hub/a", "hub/b", "hub/c"])
    assert (change.key, change.old) == ("parents[2]", None)


def test_the_diff_is_one_aligned_line_per_change() -> None:
    assert as_diff(changes(seed=1, space={"operator": ["task_arithmetic", "linear"]})) == (
        "  space.operator  ['task_arithmetic'] -> ['task_arithmetic', 'linear']\n  seed            0 -> 1"
    )
