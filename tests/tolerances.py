"""Every tolerance of the tests of backends, equilibria, models and specs: named, and explained once."""

EXACT64 = 1e-12
"""Rounding of a few dozen float64 operations on numbers of order one."""

EXACT64_DEEP = 1e-11
"""The same for circuits of a hundred gates on ten qubits, and for sums over a thousand amplitudes."""

SINGLE = 2e-5
"""A circuit of up to a hundred gates in complex64 against complex128: about 100 x 1.2e-7, with room."""

ZERO_GRADIENT = 1e-14
"""A derivative that is zero by symmetry may keep the rounding of the terms that cancel; nothing more."""

SOLVED = 1e-12
"""Residual of the solves that finite differences go through."""

FD_STEP = 1e-5
"""Step of central differences in float64: truncation about 1e-10, cancellation SOLVED / FD_STEP about 1e-7."""

FD_GRADIENT = 2e-6
"""Central differences with FD_STEP through solves converged to SOLVED, against a gradient of order one."""

FD_DIRECT = 1e-7
"""The same where nothing is solved: truncation 1e-10 and cancellation 1e-16 / FD_STEP."""

FIVE_POINT_STEP = 1e-3
"""Step of five-point differences in float64: truncation about 1e-12, cancellation SOLVED / FIVE_POINT_STEP, 1e-9."""

EXACT_GRADIENT = 1e-6
"""Relative error of a gradient against five-point differences through solves converged to SOLVED; 1e-8 is usual."""

SECOND_DERIVATIVE = 1e-5
"""Differences of first derivatives of converged solves, which carry their errors 1e-12 times two condition numbers."""

LOSS_SCALE = 1e-9
"""A gradient, the loss multiplied and the gradient divided by 1e±7: rounding times the condition number."""

SAME_LINEAR_SYSTEM = 1e-9
"""Two float64 solutions of one well-conditioned linear system, one of them iterative to 1e-12."""

BATCH_FACTOR = 10.0
"""Two solves of one sample to tolerance t agree to ||(1 - J)^-1|| (up to 6.5 on trained models) times t, with room."""

FALSE_ALARM_Z = 4.9
"""|z| of a standard normal variable that is exceeded with probability 1e-6."""

DENSE_VALUE = 1e-10
"""Float64 expectations of tens of gates, at angles of up to 2e3, which themselves are rounded to 2e-13."""

DENSE_GRADIENT = 1e-6
"""A gradient against central differences with FD_STEP at such angles, relative to its largest entry from 1 on."""

QSIM_VALUE = 1e-6
"""A dozen gates in complex64, with angles rounded to float32 within a turn, on sums with coefficients of up to 6."""

ANGLE32 = 3 * 2.0**-24
"""Relative error of an angle ``scale * value + offset`` in float32: three roundings."""
