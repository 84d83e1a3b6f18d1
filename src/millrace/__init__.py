"""Millrace: DeepStream's elements, metadata and configuration files on any Linux machine."""

__version__ = "0.1.0"
