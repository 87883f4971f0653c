"""Datasets that this package brings."""
