"""``millrace demo`` and ``millrace samples install``: the bundled default."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console

from millrace.app.paths import cache_dir, make_tree
from millrace.errors import MediaError


def run_demo(out: Path, streams: int, seconds: float, tracker: bool) -> int:
    """Generate clips (kept for the next time), run the pose pipeline on them, say where the video is.

    Args:
        out: the annotated video.
        streams: number of clips.
        seconds: length of each.
        tracker: number the people.

    Returns:
        The exit code.
    """
    from millrace.app.pose import PoseOptions, run_pose
    from millrace.samples import demo_clips

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"cannot make the folder {out.parent}: {error.strerror}") from None
    console = Console(stderr=True, highlight=False)
    folder = cache_dir() / "clips"
    with console.status("generating clips of walking figures"):
        clips = demo_clips(folder, streams, seconds)
    console.print(f"{len(clips)} generated clips of {seconds:g} s with their ground truth: {folder}", soft_wrap=True)
    return run_pose(
        PoseOptions(inputs=[str(clip) for clip in clips], out=str(out.resolve()), tracker=tracker, display=False)
    )


def install_samples() -> list[Path]:
    """Make ``samples/streams/sample_720p.mp4`` and ``samples/models/pose`` in the folder that stands for DeepStream's.

    Returns:
        The files that are there now.
    """
    from millrace.samples import pose_model, write_clip

    samples = make_tree() / "samples"
    clip = samples / "streams" / "sample_720p.mp4"
    if not clip.exists():
        write_clip(clip, seconds=10.0, fps=30, seed=1, width=1280, height=720)
    models = samples / "models" / "pose"
    shutil.copytree(pose_model().parent, models, dirs_exist_ok=True)
    return [clip, *sorted(file for file in models.iterdir() if file.is_file())]
