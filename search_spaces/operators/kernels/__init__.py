"""The arithmetic of elementwise merges: one function over flat tensors, run in blocks or compiled.

`form.py` says what such a merge is made of, `elementwise.py` is the function, `blocks.py` carries it out.
"""
