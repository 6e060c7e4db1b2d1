"""The trainer `keras_fit`, which trains one fold at a time with Keras."""
