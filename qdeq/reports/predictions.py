"""The classes of a user's images, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from qdeq.reports.tables import ABSENT, number, percent, plain_table

if TYPE_CHECKING:
    from qdeq.training.predict import ImagePrediction, RunPredictions


def prediction_table(predictions: RunPredictions) -> Group:
    """Return a row for each image: its class, how sure the run is of it, and what its equilibrium is worth.

    Below it stands a note for each image that is blank.
    """
    table = plain_table()
    table.add_column("image", overflow="fold")
    for column in ("class", "probability", "converged", "residual"):
        table.add_column(column, justify="left" if column in ("class", "converged") else "right", no_wrap=True)
    stacks = {image.file for image in predictions.images if image.index}
    notes: list[Text] = []
    for image in predictions.images:
        place = f"{image.file}[{image.index}]" if image.file in stacks else image.file
        if image.blank:
            notes.append(Text(f"note: {place} is blank: all its pixels are equal"))
        table.add_row(
            Text(place), Text(image.label), percent(image.probability), _ending(image), number(image.residual, ".1e")
        )
    return Group(table, *notes)


def _ending(image: ImagePrediction) -> Text:
    if image.converged is None:
        return Text(ABSENT)
    return Text("yes") if image.converged else Text(f"no: {image.status}", "yellow")
