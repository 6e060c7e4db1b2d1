"""Fine-tuning in two phases: first the head, then all layers at a tenth of the rate."""

import keras
import keras_tuner
from keras import layers


class Model(keras_tuner.HyperModel):
    def build(self, hp):
        self.backbone = layers.Dense(8, activation="relu")
        model = keras.Sequential([self.backbone, layers.Dense(1, activation="sigmoid")])
        model.compile("adam", "binary_crossentropy")
        return model

    def fit(self, hp, model, *args, **kwargs):
        rate = hp.Float("fine_rate", 1e-5, 1e-3, sampling="log")
        self.backbone.trainable = False
        model.compile("adam", "binary_crossentropy")
        model.fit(*args, epochs=1, **kwargs)
        self.backbone.trainable = True
        model.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
        return model.fit(*args, epochs=1, **kwargs)


build = Model()
