"""Training: what every trial shares, the two trainers, optimizers, losses and metrics."""
