"""The JSON schema of the campaign file, for editors.

`python -m evomerge.config.schema` writes `campaign.schema.json` anew; a test tells when that was forgotten.
"""

from __future__ import annotations

import json
from pathlib import Path

from evomerge.config import CampaignConfig

SCHEMA_FILE = Path(__file__).parents[1] / "campaign.schema.json"


def campaign_schema() -> str:
    """Return the schema as indented JSON."""
    kind = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:evomerge:campaign"}
    schema = {**kind, **CampaignConfig.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(campaign_schema(), encoding="utf-8")
