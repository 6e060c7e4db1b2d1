"""MNIST's IDX files as images."""

import gzip
import os
from pathlib import Path

import numpy as np

SIDE = 28


def images():
    """10,000 images of 28x28 pixels from 0 to 255, and their digits."""
    folder = Path(os.environ.get("HPSEARCH_DATA", ".")) / "mnist_t10k"
    pixels = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    shaped = np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE, 1)
    return shaped, np.frombuffer(labels, np.uint8)
