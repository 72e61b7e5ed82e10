"""The version of each stage's output.

Raise a number when the same settings and inputs would give a different result, or one of another meaning;
everything that depends on it then runs again and says why. A change that leaves results alone (speed, names,
messages) leaves the number alone.
"""

EXTRACT = 2  # batch norms folded, kernels rounded to keep their sums
IMPORT = 1
FIT = 2  # gradients written out, other matrix products, short clips as means of their own frames
EVALUATE = 3  # the closed form of neighbours on every official split
INDEX = 7  # without metrics, which are a stage of their own
FINETUNE = 1
REPORT = 2
