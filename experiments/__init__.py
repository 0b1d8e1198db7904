"""Programs that use evomerge on real models; nothing imports them."""
