"""Amazon Braket's own devices, which cost money: on-demand simulators and QPUs.

================ ===================================================================
``backend``      the backends: their options, what they can do, and which way a function is frozen
``expectations`` values from tasks, exact or from counts
``gradient``     vector-Jacobian products by AdjointGradient
``target``       what a device lists: gates, pragmas for noise, results
``programs``     OpenQASM in and results out, in gates that the device lists (``lowering``)
``client``       many tasks at once, within the limits
``tasks``        one task, from its reservation in the ledger to its end
``devices``      what is checked before the first task; ``refusals`` puts errors into words
``session``      client tokens, retries (``retries``), and no secret in any text
================ ===================================================================
"""

from qdeq.backends.braket_remote.backend import DM1, SV1, BraketDevice, BraketDM1, BraketSV1, RemoteBraket

__all__ = ["DM1", "SV1", "BraketDM1", "BraketDevice", "BraketSV1", "RemoteBraket"]
