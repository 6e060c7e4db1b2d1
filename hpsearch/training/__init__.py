"""Training: the shared problem, the two trainers, optimizers, losses and metrics."""
