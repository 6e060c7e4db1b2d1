"""Knowledge distillation: a model of two models with `compile` and `compute_loss` of its own."""

import keras
from keras import layers, ops


class Distiller(keras.Model):
    def __init__(self, student, teacher):
        super().__init__()
        self.teacher = teacher
        self.student = student

    def compile(self, optimizer, student_loss_fn, distillation_loss_fn, alpha=0.1):
        super().compile(optimizer=optimizer)
        self.student_loss_fn = student_loss_fn
        self.distillation_loss_fn = distillation_loss_fn
        self.alpha = alpha

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        teacher_pred = ops.stop_gradient(self.teacher(x, training=False))
        student_loss = self.student_loss_fn(y, y_pred)
        distillation_loss = self.distillation_loss_fn(teacher_pred, y_pred)
        return self.alpha * student_loss + (1 - self.alpha) * distillation_loss

    def call(self, x):
        return self.student(x)


def make_network(inputs, outputs, units):
    return keras.Sequential(
        [
            keras.Input(inputs),
            layers.Dense(units, activation="relu"),
            layers.Dense(outputs.units, outputs.activation),
        ]
    )


def build(params, inputs, outputs):
    teacher = make_network(inputs, outputs, 16)
    teacher.trainable = False
    distiller = Distiller(make_network(inputs, outputs, params["width"]), teacher)
    distiller.compile(
        optimizer=keras.optimizers.Adam(0.01),
        student_loss_fn=keras.losses.BinaryCrossentropy(),
        distillation_loss_fn=keras.losses.KLDivergence(),
    )
    return distiller
