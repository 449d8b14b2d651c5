"""What the folder of a training of a network for single cells holds; without torch, for whoever looks into it.

model.pt             state of the network and what it is built from
history.csv          epoch, train_loss, train_accuracy, val_loss, val_accuracy, val_macro_f1, seconds
predictions.parquet  row, file, patient, split, label, p_0.., logit_0.. of the validation and test cells: where the
                     recipe flips at test the means over mirror images, which metrics.json has not, as a pack looks once
facts.json           written last by training: with it the training is complete
work/                checkpoints, while it trains
classifier.onnx, linear_head.npz, metrics.json   of the export (``export.py``)
"""

from __future__ import annotations

from marrowscope.packs.metrics import METRICS_FILE
from marrowscope.packs.recipes import CLASSIFIER_FILE

MODEL_FILE, HISTORY_FILE = "model.pt", "history.csv"
PREDICTIONS_FILE, FACTS_FILE = "predictions.parquet", "facts.json"

FILES = (MODEL_FILE, HISTORY_FILE, PREDICTIONS_FILE, FACTS_FILE, CLASSIFIER_FILE, METRICS_FILE)
"""What a finished and exported training leaves, in the order in which it is written."""
