"""The digits that come with scikit-learn: small enough for a first experiment, and there without a download."""

from __future__ import annotations

import hashlib

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from qdeq.data.base import Images, RawDataset
from qdeq.errors import DataError

_HASH = "f6d9e39f37dc45d327f6db33428ee58970ccceabb2535a5c179de35886b70443"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Digits:
    """1 797 handwritten digits, 8 x 8, grey (E. Alpaydin, C. Kaynak, UCI 1998); no official test split, no options."""

    def load(self) -> RawDataset:
        """Return the digits, their values 0..16 scaled to [0, 1].

        Raises:
            DataError: The installed scikit-learn brings other ones.
        """
        from sklearn.datasets import load_digits  # here, so that importing qdeq.data stays fast

        digits = load_digits()
        content = digits.images.astype("<f8").tobytes() + digits.target.astype("<i8").tobytes()
        if hashlib.sha256(content).hexdigest() != _HASH:
            raise DataError("digits: scikit-learn's are not the published ones\nInstall scikit-learn anew.")
        return RawDataset(
            name="digits",
            train=Images(
                images=torch.from_numpy(digits.images).to(torch.float32).unsqueeze(1) / 16,
                labels=torch.from_numpy(digits.target).to(torch.int64),
                class_names=tuple("0123456789"),
            ),
        )
