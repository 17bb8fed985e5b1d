"""Makes the polynomial of `gelu` in kernels/src/activation.rs. Needs numpy.

2 Phi(x) - 1 = erf(x / sqrt 2) is x times a function of x^2. That function is fitted on 0 <= x <= END by a polynomial of
t = 2 (x / END)^2 - 1, so that the largest error of x erf(x / sqrt 2) is least: Lawson's iteration, least squares whose weights
grow where the error is large.
"""

from math import erf, sqrt

import numpy as np

END, DEGREE, POINTS, ROUNDS = 5.2, 14, 4000, 400

x = END * (0.5 - 0.5 * np.cos(np.linspace(0, np.pi, POINTS)))[1:]
target = np.array([erf(value / sqrt(2)) for value in x])
# Near 0 the error of the function itself counts, not that of its product with x.
importance = np.maximum(x, 0.7)
basis = np.polynomial.chebyshev.chebvander(2 * (x / END) ** 2 - 1, DEGREE) * (x * importance)[:, None]
target *= importance

weights, best = np.ones_like(x), (np.inf, None)
for _ in range(ROUNDS):
    root = np.sqrt(weights)
    found, *_ = np.linalg.lstsq(basis * root[:, None], target * root, rcond=None)
    errors = np.abs(basis @ found - target)
    best = min(best, (errors.max(), found), key=lambda pair: pair[0])
    weights *= errors / errors.max() + 1e-3
    weights /= weights.mean()

print(f"largest error {best[0]:.1e}; highest power first:")
for coefficient in np.polynomial.chebyshev.cheb2poly(best[1])[::-1]:
    print(f"    {np.float32(coefficient):.9g},")
