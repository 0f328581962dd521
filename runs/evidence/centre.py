"""What the regions of unrelated photographs have in common, from pictures that packages deliver.

Photographs of scikit-image and scikit-learn; nothing of any data set that results are reported on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage
import sklearn
from numpy.typing import NDArray
from runs.evidence.explore import eyes_of

from vretrver.errors import ImageError
from vretrver.types import ImageRef


def centre_of_photos() -> NDArray[np.float32]:
    """Mean region features, shape (F,)."""
    eyes, rows = eyes_of(None), []
    folders = (Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets/images")
    for path in sorted(path for folder in folders for path in folder.glob("*") if path.suffix in (".png", ".jpg")):
        try:
            image = ImageRef(path=str(path))
            rows += [eyes.regions(image), eyes.details(image)]
        except ImageError:
            continue
    return np.asarray(np.concatenate(rows).mean(0), np.float32)
