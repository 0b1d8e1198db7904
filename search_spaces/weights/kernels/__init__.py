"""Elementwise merges: one function over flat tensors, run in blocks or compiled.

`fusion.py` says which merges have this form, `elementwise.py` is the function, `blocks.py` carries it out.
"""
