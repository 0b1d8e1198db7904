"""How much memory scoring takes unless told otherwise; apart from what measures it, which loads torch."""

DEFAULT_BUDGET = 4 * 2**30  # bytes
