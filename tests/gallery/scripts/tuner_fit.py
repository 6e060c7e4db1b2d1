"""Keras Tuner's `HyperModel.fit` with callbacks, class weights and its own shuffling."""

import keras
import keras_tuner
from keras import layers


class Model(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential(
            [
                layers.Dense(hp.Choice("units", [4, 8]), activation="relu"),
                layers.Dense(1, activation="sigmoid"),
            ]
        )
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp, model, *args, callbacks=None, **kwargs):
        return model.fit(
            *args,
            batch_size=hp.Choice("batch_size", [16, 32]),
            shuffle=hp.Boolean("shuffle"),
            class_weight={0: 1.0, 1: 2.0},
            callbacks=[*(callbacks or []), keras.callbacks.ReduceLROnPlateau(patience=1)],
            **kwargs,
        )


build = Model()
