"""Training by `keras.Model.fit`, a fold at a time, and what only that needs."""
