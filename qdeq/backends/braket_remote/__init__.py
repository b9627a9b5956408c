"""Amazon Braket's own devices, which cost money: on-demand simulators and QPUs.

============== =====================================================================
``backend``    the backends: what is sent, and what comes back of it
``target``     what a device lists: gates, pragmas for noise, results
``programs``   OpenQASM in and results out, in gates that the device lists (``lowering``)
``gradient``   vector-Jacobian products by AdjointGradient
``client``     tasks from the reservation in the ledger to the result
``devices``    what is checked before the first task; ``refusals`` puts errors into words
``session``    client tokens, retries (``retries``), and no secret in any text
============== =====================================================================
"""

from qdeq.backends.braket_remote.backend import DM1, SV1, BraketDevice, BraketDM1, BraketSV1, RemoteBraket

__all__ = ["DM1", "SV1", "BraketDM1", "BraketDevice", "BraketSV1", "RemoteBraket"]
