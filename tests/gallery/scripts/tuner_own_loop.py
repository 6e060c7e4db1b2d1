"""Keras Tuner's guide to a custom training loop, with `train_on_batch`."""

import keras
import keras_tuner
from keras import layers


class Model(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential([layers.Dense(hp.Int("units", 4, 8)), layers.Dense(1, "sigmoid")])
        model.compile("adam", "binary_crossentropy")
        return model

    def fit(self, hp, model, x, y, validation_data, callbacks=None, **kwargs):
        size = hp.Choice("batch_size", [16, 32])
        for callback in callbacks:
            callback.set_model(model)
        for epoch in range(2):
            for start in range(0, len(x), size):
                loss = model.train_on_batch(x[start : start + size], y[start : start + size])
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs={"my_loss": loss})


build = Model()
