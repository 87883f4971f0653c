"""From images as their owner has them to a dataset that training reads."""
