"""What the studies of networks for single cells share: the papers' figures, tables and figures of finished jobs."""
