"""Build tiny Keras models into argv[1]; beside each, what it was asked and what it answered."""

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
import keras
import numpy as np
from keras import layers

folder = Path(sys.argv[1])
keras.utils.set_random_seed(1)
image = keras.Input((8, 8, 1), name="image")
x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(image))
picture = keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(x))
ids = keras.Input((None,), dtype="int32", name="ids")
x = layers.LSTM(3, return_sequences=True)(layers.Embedding(5, 4)(ids))
tags = keras.Model(ids, layers.Dense(2, name="tag")(x))
fixed = keras.Input((4,), batch_size=2, name="x")
p, q = keras.Input((3,), name="p"), keras.Input((2,), name="q")
both = layers.Dense(2, name="s")(layers.Concatenate()([p, q]))
two = keras.Model({"q": q, "p": p}, {"u": layers.Dense(1, name="u")(p), "s": both})

images = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
tokens = np.array([[0, 1, 2, 3, 4, 3], [1, 1, 0, 2, 4, 0]], np.int32)
picture.save(folder / "picture.keras")
picture.save(folder / "picture.h5")
picture.export(folder / "saved", verbose=False)
tags.save(folder / "tags.keras")
two.save(folder / "two.keras")
keras.Model(fixed, layers.Dense(2)(fixed)).save(folder / "fixed.keras")
np.savez(folder / "picture.npz", in_image=images, out_=picture(images))
np.savez(folder / "tags.npz", in_ids=tokens, out_=tags(tokens))
feeds = {"p": np.ones((2, 3), np.float32), "q": np.full((2, 2), 2, np.float32)}
answers = {f"out_{name}": array for name, array in two(feeds).items()}
np.savez(folder / "two.npz", in_p=feeds["p"], in_q=feeds["q"], **answers)
