"""A vision transformer: custom layers that cut an image into patches and encode their positions."""

import keras
from keras import layers, ops


class Patches(layers.Layer):
    def __init__(self, patch_size):
        super().__init__()
        self.patch_size = patch_size

    def call(self, images):
        height, width, channels = images.shape[1:]
        patches = ops.image.extract_patches(images, size=self.patch_size)
        count = (height // self.patch_size) * (width // self.patch_size)
        return ops.reshape(patches, (-1, count, self.patch_size * self.patch_size * channels))

    def get_config(self):
        config = super().get_config()
        config.update({"patch_size": self.patch_size})
        return config


class PatchEncoder(layers.Layer):
    def __init__(self, num_patches, projection_dim):
        super().__init__()
        self.num_patches = num_patches
        self.projection = layers.Dense(units=projection_dim)
        self.position_embedding = layers.Embedding(num_patches, projection_dim)

    def call(self, patch):
        positions = ops.expand_dims(ops.arange(start=0, stop=self.num_patches, step=1), axis=0)
        return self.projection(patch) + self.position_embedding(positions)


def build(params, inputs, outputs):
    photo = keras.Input(inputs["photo"], name="photo")
    augmented = keras.Sequential([layers.Rescaling(1 / 255), layers.RandomFlip("horizontal")])(
        photo
    )
    patches = Patches(8)(augmented)
    x = PatchEncoder(16, 8)(patches)
    x1 = layers.LayerNormalization(epsilon=1e-6)(x)
    attention = layers.MultiHeadAttention(num_heads=2, key_dim=8, dropout=0.1)(x1, x1)
    x2 = layers.Add()([attention, x])
    x3 = layers.LayerNormalization(epsilon=1e-6)(x2)
    x3 = layers.Dense(8, activation=keras.activations.gelu)(x3)
    x = layers.Add()([layers.Dropout(0.1)(x3), x2])
    x = layers.Flatten()(layers.LayerNormalization(epsilon=1e-6)(x))
    x = layers.Dense(params["width"], activation=keras.activations.gelu)(x)
    return keras.Model(photo, layers.Dense(outputs.units, outputs.activation)(x))
