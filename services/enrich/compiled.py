"""The one way in which kernels are compiled here."""

from services.kit.compiled import kernel

__all__ = ["kernel"]
