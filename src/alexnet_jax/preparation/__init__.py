"""Converts source images to a dataset for training."""
