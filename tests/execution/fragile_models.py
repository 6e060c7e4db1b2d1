"""Custom models that fail."""

import os
import subprocess
import sys

import keras

SLEEP = "import time; time.sleep(600)  # a child of a model"


def raises_for_nine(params, inputs, outputs):
    if params["units"] == 9:
        raise ValueError("nine is not to be had")
    x = first = keras.Input(inputs)
    x = keras.layers.Dense(params["units"], activation="relu")(x)
    return keras.Model(first, keras.layers.Dense(outputs.units, activation=outputs.activation)(x))


def ends_its_process(params, inputs, outputs):
    print("said before its end", flush=True)
    os._exit(3)


def prints_secrets_and_starts_children(params, inputs, outputs):
    """Children that outlive it: one in its process group, one that has left it."""
    print("printed password: Canary7f3a9", flush=True)
    subprocess.run(["echo", "child token=Canary7f3a9x1"], stdout=2, check=True)
    for has_left in (False, True):
        subprocess.Popen([sys.executable, "-S", "-c", SLEEP], start_new_session=has_left)
    return raises_for_nine(params, inputs, outputs)
