"""The version, in its one place: the build and `hubkit.__version__` both read it here."""

__all__ = ["__version__"]

__version__ = "0.1.0"
