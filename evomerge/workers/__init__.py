"""Where candidates are merged and scored: in this process, or in Ray actors."""
