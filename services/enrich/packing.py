"""Named columns as compact bytes: the form in which state is checkpointed."""

from services.kit.packing import Column, pack, unpack

__all__ = ["Column", "pack", "unpack"]
