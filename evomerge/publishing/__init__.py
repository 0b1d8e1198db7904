"""What is passed on: to the hub, and in llama.cpp's format."""

from evomerge.publishing.hub import PushError, Upload, push, upload_of

__all__ = ["PushError", "Upload", "push", "upload_of"]
