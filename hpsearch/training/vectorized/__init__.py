"""The `vectorized` trainer: all folds and trials as lanes of one compiled JAX program.

Separation of concerns:
    session       the process: backend, devices, threads, the cache of compiled programs
    number        hyperparameters as inputs of a program
    layers        dropout and batch normalization, as a lane of a program needs them
    padding       which networks may be computed inside a wider one
    network       a Keras model as a pure function of one vector of weights
    update        a Keras optimizer as a pure function of one vector of weights
    alternatives  the optimizers of a study as branches of one program
    objective     a Keras loss with its arguments as inputs
    program       one lane's epoch and evaluation, traced and compiled
    library       which programs there are, and compiling them ahead
    table         the rows and folds on the device
    course        a trial under way; threads or a batch to run its lanes on
    trainer       the protocol of `training.trainer`
"""

from .trainer import VectorizedTrainer, why_not

__all__ = ["VectorizedTrainer", "why_not"]
