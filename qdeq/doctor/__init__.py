"""What works on this machine, what does not, and how to mend it.

    checkup = examine()
    checkup.ok, checkup.findings

Nothing is sent anywhere, and no secret is read out, unless ``online`` asks AWS whether it takes the credentials.
"""

from qdeq.doctor.checks import examine
from qdeq.doctor.finding import Checkup, Finding

__all__ = ["Checkup", "Finding", "examine"]
