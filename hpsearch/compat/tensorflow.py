"""Private parts of TensorFlow. Importing this module does not import TensorFlow."""

from __future__ import annotations


def limit_gpu_memory(share: float) -> None:
    """Limit TensorFlow to `share` of each GPU's memory; call it before the first operation.

    The public functions need megabytes, and none returns the size of a GPU's memory.
    """
    import tensorflow as tf
    from tensorflow.python.framework.ops import enable_eager_execution_internal

    config = tf.compat.v1.ConfigProto()
    config.gpu_options.per_process_gpu_memory_fraction = share
    enable_eager_execution_internal(config)


# Importing all of TensorFlow takes six seconds of processor time, its runtime less than one.
# Prints the kinds of devices; run in a process of its own. Where the runtime is laid out
# differently, the whole of TensorFlow is imported.
LIST_DEVICES = """
import importlib.util, sys, types
package = types.ModuleType("tensorflow")
package.__path__ = list(importlib.util.find_spec("tensorflow").submodule_search_locations)
sys.modules["tensorflow"] = package
try:
    from tensorflow.python.eager import context
    devices = context.context().list_physical_devices()
except (ImportError, AttributeError):
    for name in [n for n in sys.modules if n.split(".")[0] == "tensorflow"]:
        del sys.modules[name]
    import tensorflow
    devices = tensorflow.config.list_physical_devices()
print(*(device.device_type for device in devices), sep=", ")
"""
