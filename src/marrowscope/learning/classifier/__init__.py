"""The cell classifier: networks, crops, augmentation, recipes, training, export."""
