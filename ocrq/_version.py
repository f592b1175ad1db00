"""The version, spelled once; the package metadata are made from it."""

__version__ = "0.1.0"
