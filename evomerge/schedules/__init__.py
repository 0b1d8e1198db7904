"""Who answers which items, and who may be told: everything at once, own items, successive halving, a screen before.

The options are here; the schedules themselves, which load numpy, are `all_items.AllItems`, `own_items.OwnItems`,
`halving.Halving` and `screen.Screen`. One of another package is a `ScheduleOptions`, found as `module:attribute` or by
an entry point.
"""

from evomerge.schedules.options import (
    SCHEDULES,
    AllItemsConfig,
    HalvingConfig,
    OwnItemsConfig,
    ScheduleOptions,
    ScreenConfig,
)

__all__ = ["SCHEDULES", "AllItemsConfig", "HalvingConfig", "OwnItemsConfig", "ScheduleOptions", "ScreenConfig"]
