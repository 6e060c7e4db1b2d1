"""The `vectorized` trainer: all folds and trials as lanes of one compiled JAX program.

Separation of concerns:
    session            the process: backend, devices, threads, the cache of compiled programs
    traced_scalar      hyperparameters as inputs of a program
    layers             dropout and batch normalization inside a lane
    lane_convolution   convolutions of many lanes, as products
    padding            networks that can be computed inside a wider one
    network            a Keras model as a pure function of one vector of weights
    update             a Keras optimizer as a pure function of one vector of weights
    optimizer_switch   a study's optimizers as branches of one program
    objective          a Keras loss with its arguments as inputs
    program            one lane's epoch and evaluation, traced and compiled
    program_cache      compiled programs, and their compilation ahead of use
    device_data        the rows and folds on the device
    vectorized_trainer the protocol of `training.trainer`; chooses one of the two engines

Lanes on threads, as on a CPU:
    trial_run          a running trial
    thread_engine      lanes on threads
    thread_trainer     reports and results of trials

Lanes as one batch, as on an accelerator:
    template           a network shared by trials, and each trial's inputs for its program
    watched_number     hyperparameters that a custom function only passes on to Keras
    optimizer_numbers  an optimizer shared by trials, and each trial's inputs for it
    lane_init          weights and optimizer variables, drawn on the device
    schedule_rates     learning-rate schedules on the device
    tile_state         the state of trials on the device; how they start and move
    device_stopping    the end of trials and their best epoch, decided on the device
    segment            epochs of many trials in one call
    device_health      a device's memory, and whether it still computes
    tile_entry         a trial of a batch
    tile_slots         which trial is in which slot
    tile_group         the trials of a template on the device
    group_factory      trials that share a program, and how many are trained at once
    batch_engine       the groups of a population, reports and results
    memory_estimate    the trials that fit in the device's memory
"""

from .vectorized_trainer import VectorizedTrainer, explain_unsuitable

__all__ = ["VectorizedTrainer", "explain_unsuitable"]
