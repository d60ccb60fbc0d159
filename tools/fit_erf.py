"""Fits the approximations of erf and exp in Kernels/common.cl and prints them as OpenCL C.

    python tools/fit_erf.py          (needs numpy and scipy)

erf is x P(x^2) / Q(x^2) up to the point where it rounds to 1; exp is a polynomial on [-ln 2 / 2, ln 2 / 2]. Both
minimise the largest relative error (Lawson's iteration: least squares, weighted ever more where the error is largest),
in float64; the errors printed below the constants are those of the float32 evaluation with fused multiply-adds.
"""

import numpy as np
from scipy.special import erf

LIMIT = 3.92  # 1 - erf(3.92) = 2.9e-8 is less than half a unit in the last place of 1


def fit(u, y, numerator, denominator, steps=300):
    """Coefficients of P and Q with P(u) / Q(u) ~ y and Q(0) = 1, for u in [0, 1] or [-1, 1]."""
    law, q, best = np.ones_like(u), np.ones_like(u), (np.inf, None)
    for step in range(steps):
        weight = np.sqrt(law) / (q * np.abs(y))
        powers_p = u[:, None] ** np.arange(numerator + 1)
        powers_q = u[:, None] ** np.arange(1, denominator + 1)
        system = np.concatenate([powers_p, -y[:, None] * powers_q], axis=1) * weight[:, None]
        c, *_ = np.linalg.lstsq(system, weight * y, rcond=None)
        p_c, q_c = c[: numerator + 1], np.r_[1, c[numerator + 1 :]]
        q = np.polynomial.polynomial.polyval(u, q_c)
        error = np.abs(np.polynomial.polynomial.polyval(u, p_c) / q / y - 1)
        if error.max() < best[0]:
            best = (error.max(), (p_c, q_c))
        if step > 10:
            law *= np.sqrt(error / error.max()) + 1e-6
            law /= law.mean()
    return best[1]


def horner32(coefficients, t):
    """Horner's rule with float32 coefficients and one rounding a step, as fma does."""
    value = np.full_like(t, np.float32(coefficients[-1]))
    for c in coefficients[-2::-1]:
        value = (value.astype(np.float64) * t.astype(np.float64) + np.float64(np.float32(c))).astype(np.float32)
    return value


def chebyshev(points):
    return np.cos(np.linspace(0, np.pi, points))


def show(name, coefficients):
    print(f"// {name}: " + ", ".join(f"{np.float32(c):.9e}f" for c in coefficients))


def main():
    x = (chebyshev(4001) + 1) / 2 * LIMIT
    x = x[x > 1e-4]
    scale = LIMIT * LIMIT
    p, q = fit(x * x / scale, erf(x) / x, 5, 5)
    p, q = (c / scale ** np.arange(len(c)) for c in (p, q))
    show("erf P", p)
    show("erf Q", q)
    xs = np.linspace(1e-6, 6, 1_000_001).astype(np.float32)
    t = (xs * xs).astype(np.float32)
    value = ((xs * horner32(p, t)).astype(np.float32) / horner32(q, t)).astype(np.float32)
    value = np.where(xs >= np.float32(LIMIT), np.float32(1), value)
    exact = erf(xs.astype(np.float64))
    print(f"//   largest absolute error {np.abs(value - exact).max():.2e}, relative {np.abs(value / exact - 1).max():.2e}")

    half = np.log(2) / 2
    u = chebyshev(4001)
    e, _ = fit(u, np.exp(u * half), 6, 0)
    e = e / half ** np.arange(len(e))
    show("exp", e)
    r = np.linspace(-half, half, 1_000_001).astype(np.float32)
    exact = np.exp(r.astype(np.float64))
    print(f"//   largest relative error on the reduced range {np.abs(horner32(e, r) / exact - 1).max():.2e}")


if __name__ == "__main__":
    main()
