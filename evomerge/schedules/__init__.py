"""Who answers which items, and who may be told: everything at once, successive halving, a screen before either.

The options are here; the schedules themselves, which load numpy, are `all_items.AllItems`, `halving.Halving` and
`screen.Screen`.
"""

from evomerge.schedules.options import (
    AllItemsConfig,
    HalvingConfig,
    ScheduleConfig,
    ScreenConfig,
)

__all__ = ["AllItemsConfig", "HalvingConfig", "ScheduleConfig", "ScreenConfig"]
