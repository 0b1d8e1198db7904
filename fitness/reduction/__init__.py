"""Item response theory: a benchmark's items described once, so that few of them tell about all."""
