"""Figures of a trained network, one per file: `collect` its data, then `draw` it."""
