"""Requests checked against botocore's model of the API, as the service checks them."""

from __future__ import annotations

from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, StructureShape
from botocore.validate import ParamValidator

from .wire import ServiceError


@cache
def _model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("braket", "service-2"), "braket")


def check(operation: str, content: Any) -> None:
    """Check members, types and lengths.

    Raises:
        ServiceError: A ValidationException.
    """
    shape = _model().operation_model(operation).input_shape
    if not isinstance(shape, StructureShape) or not isinstance(content, dict):
        raise ServiceError("ValidationException", "1 validation error detected: the body is not a structure")
    problems = []
    report = ParamValidator().validate(content, shape)
    if report.has_errors():
        problems.append(report.generate_report())
    for name, member in shape.members.items():
        value, longest = content.get(name), member.metadata.get("max")
        if isinstance(value, str | list) and longest is not None and len(value) > longest:
            problems.append(f"'{name}' must have length less than or equal to {longest}")
    if problems:
        raise ServiceError("ValidationException", f"{len(problems)} validation error detected: {'; '.join(problems)}")
