"""Figures of a trained network, one file each: what is shown, then how it is drawn."""
