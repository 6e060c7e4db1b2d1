"""The `vectorized` trainer: all folds and trials as lanes of one compiled JAX program.

Separation of concerns:
    session            the process: backend, devices, threads, the cache of compiled programs
    traced_scalar      hyperparameters as inputs of a program
    layers             dropout and batch normalization, as a lane of a program needs them
    lane_convolution   convolutions of many lanes, as products
    padding            which networks may be computed inside a wider one
    network            a Keras model as a pure function of one vector of weights
    update             a Keras optimizer as a pure function of one vector of weights
    optimizer_switch   the optimizers of a study as branches of one program
    objective          a Keras loss with its arguments as inputs
    program            one lane's epoch and evaluation, traced and compiled
    program_cache      which programs there are, and compiling them ahead
    device_data        the rows and folds on the device
    trainer            the protocol of `training.trainer`; which of the two engines it takes

Lanes on threads, as on a CPU:
    trial_run          a trial under way
    thread_engine      lanes on threads
    thread_trainer     reports and results of trials

Lanes as one batch, as on an accelerator:
    template           what trials share that one program can train, and each one's numbers for it
    watched_number     which hyperparameters a custom function only hands on to Keras
    optimizer_numbers  the same of an optimizer
    lane_init          weights and optimizer variables, drawn on the device
    schedule_rates     learning-rate schedules on the device
    segment            epochs of many trials in one call, decisions included
    device_health      a device's memory, and whether it answers
    tile_group         the trials of a template on the device
    group_factory      which trials share a group, and how many stand side by side
    batch_engine       groups of a population, reports and results
"""

from .vectorized_trainer import VectorizedTrainer, explain_unsuitable

__all__ = ["VectorizedTrainer", "explain_unsuitable"]
