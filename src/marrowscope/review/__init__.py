"""The review workstation: look at every cell, correct, explain, sign; docs/methods/review.md tells how it is made."""
