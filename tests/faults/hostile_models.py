"""Custom models that break their worker, selected by `units`."""

import subprocess
import sys
import threading

import keras

HANGS, EATS = 1, 2
CHILD = "import signal; signal.pause()"


def build(params, inputs, outputs):
    if params["units"] == HANGS:
        for alone in (False, True):  # one that leaves its group, too
            command = [sys.executable, "-c", CHILD, "a grandchild of the study"]
            subprocess.Popen(command, start_new_session=alone)
        threading.Event().wait()
    if params["units"] == EATS:
        eaten = bytearray(3 << 29)
        eaten[:: 1 << 12] = b"\1" * (3 << 17)  # every page of it
        threading.Event().wait()
    x = first = keras.Input(inputs)
    x = keras.layers.Dense(params["units"], activation="relu")(x)
    return keras.Model(first, keras.layers.Dense(outputs.units, activation=outputs.activation)(x))
