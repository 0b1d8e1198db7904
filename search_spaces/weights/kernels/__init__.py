"""Elementwise merges as one function over flat tensors, compiled or in blocks. Start at `blocks.py`; `form.py` says what is elementwise."""
