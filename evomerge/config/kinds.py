"""The sections of a campaign file that have a kind: `space`, `optimiser` and `schedule`."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AliasChoices, PlainValidator, SerializeAsAny, ValidationError, ValidationInfo

from evomerge.config.paths import directory_of, existing_start
from evomerge.optimisers import OptimiserOptions
from evomerge.optimisers.registry import OPTIMISERS
from evomerge.optimisers.terrain import IMPORTANCE, WARM_START
from evomerge.schedules import SCHEDULES, ScheduleOptions
from evomerge.spaces import SpaceOptions
from evomerge.spaces.registry import SPACES
from evomerge.wording import in_our_words, refuse

OPTIMISER_NAMES = AliasChoices("optimiser", "optimizer")


def _read_optimiser(value: object, info: ValidationInfo) -> OptimiserOptions:
    options = OPTIMISERS.read(value, info)
    directory = directory_of(info)
    if directory is None:  # the record of a search that ran: libraries may know other options by now
        return options
    options.check()
    try:
        made = (WARM_START, IMPORTANCE)
        starts = tuple(path if path in made else existing_start(path, directory) for path in options.warm_start)
    except ValidationError as error:
        refuse(in_our_words(error, OptimiserOptions, under=["warm_start"]))
    return options.model_copy(update={"warm_start": starts}) if starts else options


SpaceSection: TypeAlias = Annotated[
    SerializeAsAny[SpaceOptions], PlainValidator(SPACES.read, json_schema_input_type=SPACES.in_schema())
]
OptimiserSection: TypeAlias = Annotated[
    SerializeAsAny[OptimiserOptions], PlainValidator(_read_optimiser, json_schema_input_type=OPTIMISERS.in_schema())
]
ScheduleSection: TypeAlias = Annotated[
    SerializeAsAny[ScheduleOptions], PlainValidator(SCHEDULES.read, json_schema_input_type=SCHEDULES.in_schema())
]
