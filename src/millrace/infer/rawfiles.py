"""``raw-output-file-write``: the outputs of each batch as files."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

log = logging.getLogger("millrace.infer")


class RawWriter:
    """Writes a file for each output of each batch, under the names that DeepStream gives them.

    ``gstnvdsinfer_uid-<id>_layer-<layer>_batch-<number>_batchsize-<pictures>.bin`` in the working folder holds the
    values as they are in memory, one picture after the other; ``/`` in a layer's name becomes ``_``.

    Args:
        unique_id: ``gie-unique-id``.
    """

    def __init__(self, unique_id: int) -> None:
        self._unique_id, self._number = unique_id, 0
        self._lock = threading.Lock()
        self._complained = False

    def __call__(self, names: Sequence[str], outputs: Sequence[Any], pictures: int) -> None:
        """Write one batch.

        Args:
            names: the layers.
            outputs: of each layer an array or a sequence of arrays with one item for each picture, or more.
            pictures: how many count.
        """
        with self._lock:
            number, self._number = self._number, self._number + 1
        for name, output in zip(names, outputs, strict=True):
            which = f"uid-{self._unique_id:02d}_layer-{name.replace('/', '_')}"
            path = Path(f"gstnvdsinfer_{which}_batch-{number:010d}_batchsize-{pictures:02d}.bin")
            data = b"".join(np.ascontiguousarray(output[index]).tobytes() for index in range(pictures))
            try:
                path.write_bytes(data)
            except OSError as error:
                if not self._complained:
                    log.warning(
                        "raw-output-file-write: cannot write %s in the working folder: %s", path, error.strerror
                    )
                self._complained = True
