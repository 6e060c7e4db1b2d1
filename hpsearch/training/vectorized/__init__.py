"""The `vectorized` trainer: all folds and trials as lanes of one compiled JAX program.

Separation of concerns:
    session           the process: backend, devices, threads, the cache of compiled programs
    traced_scalar     hyperparameters as inputs of a program
    layers            dropout and batch normalization, as a lane of a program needs them
    padding           which networks may be computed inside a wider one
    network           a Keras model as a pure function of one vector of weights
    update            a Keras optimizer as a pure function of one vector of weights
    optimizer_switch  the optimizers of a study as branches of one program
    objective         a Keras loss with its arguments as inputs
    program           one lane's epoch and evaluation, traced and compiled
    program_cache     which programs there are, and compiling them ahead
    device_data       the rows and folds on the device
    trial_run         a trial under way
    thread_engine     lanes on threads, as on a CPU
    batch_engine      all lanes in one program, as on an accelerator
    trainer           the protocol of `training.trainer`
"""

from .trainer import VectorizedTrainer, why_not

__all__ = ["VectorizedTrainer", "why_not"]
