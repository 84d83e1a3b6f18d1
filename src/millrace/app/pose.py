"""``millrace pose``: people and their keypoints in any number of videos, pictures, RTSP streams and cameras."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from millrace.app.media import parse_inputs
from millrace.app.pose_model import find_model, infer_config
from millrace.app.pose_output import Output, PoseOptions
from millrace.app.pose_probe import JsonLines
from millrace.errors import MillraceError

__all__ = ["PoseOptions", "print_error", "run_pose"]


def run_pose(options: PoseOptions) -> int:
    """Run until all streams have ended.

    Returns:
        0, 1 when a stream failed (each has then been named on stderr), 130 after an interrupt.

    Raises:
        MillraceError: nothing could be run: a missing model, an output that cannot be written, no input left.
    """
    from millrace.app.pose_pipeline import PoseRun

    model = find_model(options.model)
    inputs, problems = parse_inputs(options.inputs)
    output = Output.parse(options, inputs)
    if not inputs:
        for problem in problems[:-1]:
            print_error(problem)
        raise problems[-1]
    for problem in problems:
        print_error(problem)
    json_lines = JsonLines(options.json) if options.json else None
    try:
        with tempfile.TemporaryDirectory(prefix="millrace-") as folder:
            config = infer_config(model, Path(folder), len(inputs), options.confidence, options.nms_iou)
            failed = PoseRun(options, inputs, output, config, json_lines).run()
    finally:
        if json_lines is not None:
            json_lines.close()
    return failed or (1 if problems else 0)


def print_error(error: MillraceError | str) -> None:
    """One line on stderr, as every error of the command line."""
    print(f"millrace: error: {error}", file=sys.stderr, flush=True)
