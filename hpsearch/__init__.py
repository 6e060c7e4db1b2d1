"""Hyperparameter search with cross-validation for Keras, every run in MLflow."""
