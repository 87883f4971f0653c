"""Weights in the formats of others: Caffe, numpy archives, torchvision."""
