"""Descents: coefficients of a linear merge, learnt by the slope of a loss."""
