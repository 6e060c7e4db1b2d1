"""MNIST's IDX files as rows of pixels, and a small convolutional network for them."""

import gzip
import os
from pathlib import Path

import numpy as np

SIDE = 28


def rows():
    """10,000 images as rows of 784 pixels from 0 to 255, and their digits."""
    folder = Path(os.environ.get("HPSEARCH_DATA", ".")) / "mnist_t10k"
    images = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    pixels = np.frombuffer(images, np.uint8).reshape(-1, SIDE * SIDE)
    return pixels, np.frombuffer(labels, np.uint8)


def build(params, inputs, outputs):
    """Two convolutions, each followed by pooling, and one dense layer."""
    import keras
    from keras import layers

    first = keras.Input(inputs)
    x = layers.Reshape((SIDE, SIDE, 1))(first)
    for depth in (1, 2):
        x = layers.Conv2D(depth * params["filters"], 3, activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dropout(params["dropout"])(layers.Flatten()(x))
    x = layers.Dense(64, activation="relu")(x)
    return keras.Model(first, layers.Dense(outputs.units, outputs.activation)(x))
