"""Coarse to fine: few genes first, more where they pay."""
