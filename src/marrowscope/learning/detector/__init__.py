"""An anchor-free detector of nucleated cells: network, targets, losses, training data, recipes, training."""
