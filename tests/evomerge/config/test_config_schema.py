import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from evomerge.config import load_campaign
from evomerge.config.schema import SCHEMA_FILE, campaign_schema
from evomerge.config.template import template
from tests.evomerge.config.test_config import EXAMPLE
from tests.evomerge.config.test_config_errors import GOOD

SCHEMA = json.loads(campaign_schema())


def test_the_committed_schema_is_up_to_date() -> None:
    assert SCHEMA_FILE.read_text() == campaign_schema(), "run python -m evomerge.config.schema"


@pytest.mark.parametrize("text", [EXAMPLE, GOOD, template(["hub/a", "hub/b"], "hub/base")])
def test_good_files_agree_with_the_schema(text: str) -> None:
    jsonschema.validate(yaml.safe_load(text), SCHEMA)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("ties", "tise"), ("seed: 0", "sede: 0"), ("name: b}", "nmae: b}"), ("24", "1"), ("[0.0, 1.5]", "[0.0]")],
)
def test_editors_see_mistakes(right: str, wrong: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(GOOD.replace(right, wrong, 1)), SCHEMA)


def with_example_tasks(directory: Path, text: str) -> Path:
    (directory / "tasks").mkdir()
    for name in ("first", "second"):
        (directory / "tasks" / f"{name}.jsonl").touch()
    (directory / "campaign.yaml").write_text(text)
    return directory / "campaign.yaml"


@pytest.mark.parametrize(("base", "operator"), [("hub/base", "task_arithmetic"), (None, "linear")])
def test_the_template_is_a_campaign(tmp_path: Path, base: str | None, operator: str) -> None:
    config = load_campaign(with_example_tasks(tmp_path, template(["hub/a", "hub/b"], base, name="1e3")))
    assert (config.name, config.space.operator, config.space.groups.layer_blocks) == ("1e3", (operator,), 1)
    assert [parent.model for parent in config.parents] == ["hub/a", "hub/b"]
    assert [(merge.name, merge.operator) for merge in config.merges] == [("regmean", "regmean")]


def test_the_template_shows_the_defaults(tmp_path: Path) -> None:
    written = load_campaign(with_example_tasks(tmp_path, template(["hub/a", "hub/b"], "hub/base")))
    least = {"base": "hub/base", "parents": ["hub/a", "hub/b"], "name": written.name}
    least["objectives"] = [o.model_dump() for o in written.objectives]
    least["merges"] = [{"name": "regmean", "operator": "regmean"}]
    least["space"] = {"groups": {"layer_blocks": 1, "modules": ["all"]}}
    assert type(written).model_validate({**least, "optimiser": "bayes"}) == written


def test_the_template_gives_models_of_one_name_different_names(tmp_path: Path) -> None:
    models = ["x/final", "y/final", "z/final", "hub/base"]
    config = load_campaign(with_example_tasks(tmp_path, template(models, "hub/b")))
    assert [parent.name for parent in config.parents] == ["final", "final-2", "final-3", "base-2"]
    assert [parent.model for parent in config.parents] == models


def test_the_template_says_which_task_files_to_write(tmp_path: Path) -> None:
    (tmp_path / "campaign.yaml").write_text(template(["hub/a", "hub/b"], "hub/base"))
    with pytest.raises(
        ValueError, match=r"objectives\[0\].tasks\[0\]: expected a file, found nothing at .*first.jsonl"
    ):
        load_campaign(tmp_path / "campaign.yaml")
