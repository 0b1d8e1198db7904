"""A benchmark that can tell: emulators of real response matrices, and every search on them."""
